"""What is wrong with a dataset, and what it looks like, before anything is learned from it."""
