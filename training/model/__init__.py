"""The frozen CLIP: its weights, its vision tower and its text tower."""
