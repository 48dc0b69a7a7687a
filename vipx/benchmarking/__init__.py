"""Joins what the line costs with how good it is: sweeps over engines and precisions, with their page."""
