"""The commands of vipx, one file each. Heavy imports stand inside them: `vipx --help` must answer at once."""
