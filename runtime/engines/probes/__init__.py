"""Look into the float32 encoder of a bundle: its inner tensors, one engine a file."""
