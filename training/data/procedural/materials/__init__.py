"""Surfaces that fill the picture."""
