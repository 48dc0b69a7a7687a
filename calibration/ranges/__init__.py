"""Ranges for INT8 from a bundle's float32 encoder and good pictures; imports neither torch nor onnx."""
