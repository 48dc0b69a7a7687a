"""Single parts and assemblies upon a ground."""
