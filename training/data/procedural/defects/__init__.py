"""What goes wrong with a part: each function returns the picture with one defect in it."""
