"""What calibration shows a person."""
