"""vipx takes CLIP-based zero-shot anomaly detection from a checkpoint to a verdict on the line."""

__version__ = "0.1.0"

__all__ = ["__version__"]
