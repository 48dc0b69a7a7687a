"""Bundle and good images in, recipe out; imports no torch."""
