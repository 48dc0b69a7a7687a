"""Images and masks to learn from."""
