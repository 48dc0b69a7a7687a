"""One package for each method: what is learned, and how patches are scored."""
