"""The model inside vipx, and the demo that shows what it does."""

from pathlib import Path

# Trained and exported by this project's own code on drawn parts: docs/demo-model.md.
DEMO_BUNDLE = Path(__file__).parent / "bundle.vipx"

# What the bundle was exported from: `backbone.safetensors` and the checkpoint `demo.ckpt`.
DEMO_WEIGHTS = Path(__file__).parent / "weights"

__all__ = ["DEMO_BUNDLE", "DEMO_WEIGHTS"]
