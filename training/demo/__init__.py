"""Trains the small demo model from nothing: pool of drawn parts, backbone, heads, checkpoint."""
