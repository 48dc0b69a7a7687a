"""Open Inference Protocol v2 with Triton's binary tensors: bytes to tensors and back, no web framework."""
