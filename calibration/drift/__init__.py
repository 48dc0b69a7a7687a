"""Drift: does the line still look as it did when it was calibrated."""
