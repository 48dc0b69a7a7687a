"""Good images, measured one at a time and looked at as a set."""
