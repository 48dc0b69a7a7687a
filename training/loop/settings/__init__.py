"""Every choice of a run, and the one file that holds them."""
