"""Thresholds from good images: exact where their number allows it, fitted where it does not."""
