"""Measurements: run by hand, printed as ratios within one run, kept in docs/benchmarks/."""
