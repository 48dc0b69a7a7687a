"""TensorRT on NVIDIA GPUs; importing this loads neither TensorRT nor a CUDA binding."""

from vipx.runtime.engines.tensorrt.engine import TensorRtEngine
from vipx.runtime.engines.tensorrt.library import missing

__all__ = ["TensorRtEngine", "missing"]
