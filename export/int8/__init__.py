"""The encoder in INT8: what its inputs were seen to be, how they are rounded, and the graphs that do it."""
