"""Measures the inspection server."""
