"""A GPU's memory, streams and events through one small protocol; one file for each CUDA binding."""
