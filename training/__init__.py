"""Images in, checkpoint out: the towers, the methods, their losses and the data they learn from."""
