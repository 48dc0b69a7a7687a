"""TensorRT on NVIDIA GPUs (in work: nothing but the two names that `choice` needs)."""

from vipx.errors import EngineError
from vipx.runtime.engines.engine import Device, Engine, EngineOptions, Model


def missing(device: Device) -> str | None:
    """Say why TensorRT cannot be tried on a device; None if it can."""
    return "TensorRT is not supported yet" if device == "cuda" else "TensorRT needs --device cuda"


def TensorRtEngine(model: Model, options: EngineOptions) -> Engine:  # noqa: N802 - a class soon
    """Open a model."""
    raise EngineError(f"{model.name}: {missing(options.device or 'cuda')}")
