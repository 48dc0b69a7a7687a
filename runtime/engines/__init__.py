"""What runs a graph; one file for each engine library."""
