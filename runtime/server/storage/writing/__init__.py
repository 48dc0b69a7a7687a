"""The writing side of the store: one thread, numbers that only rise, and retention."""
