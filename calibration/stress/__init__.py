"""How good images fare when light, focus or position change."""
