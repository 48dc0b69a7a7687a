"""ONNX Runtime's ways to a device: what each needs to be here, and how a session asks for it."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

from vipx.errors import EngineError, short_reason
from vipx.manifest import Precision
from vipx.runtime.engines.engine import Device, Provider

if TYPE_CHECKING:
    import onnxruntime

_CPU = "CPUExecutionProvider"
_NAMES: Mapping[Provider, str] = MappingProxyType(
    {
        "cuda": "CUDAExecutionProvider",
        "tensorrt": "TensorrtExecutionProvider",
        "tensorrt-rtx": "NvTensorRTRTXExecutionProvider",
    }
)
_RTX_MODULE = "onnxruntime_ep_nv_tensorrt_rtx"
_RTX_PACKAGE = "onnxruntime-ep-nv-tensorrt-rtx-cu13"
_LINKED_TENSORRT = 10  # of every onnxruntime-gpu up to 1.31 (shared notes, edge.md 4.2)
_TENSORRTS = ("tensorrt", "tensorrt-cu12", "tensorrt-cu13")


@dataclass(frozen=True, slots=True)
class Way:
    """How a session reaches its device.

    Attributes:
        device: Where graphs run.
        provider: What takes them there, if it is a GPU.
        precision: Of the graph: TensorRT's provider takes no float16 or INT8 that it was not allowed.
    """

    device: Device = "cpu"
    provider: Provider = "cuda"
    precision: Precision = "fp32"

    @property
    def name(self) -> str:
        """Name the provider as ONNX Runtime does."""
        return _CPU if self.device == "cpu" else _NAMES[self.provider]

    @property
    def values(self) -> Device:
        """Say where the values between graphs are: the plug-in leaves them no place on its GPU."""
        return "cpu" if self.provider == "tensorrt-rtx" else self.device


def missing(runtime: ModuleType, way: Way) -> str | None:
    """Say why a way cannot be tried, without loading its libraries; None if it can."""
    if way.device == "cuda" and way.provider == "tensorrt-rtx":
        return _missing_plug_in(runtime)
    if way.name not in runtime.get_available_providers():
        return (
            f"this ONNX Runtime {runtime.__version__} has no {way.name}; "
            "install it with: pip uninstall onnxruntime && pip install 'vipx[gpu]'"
        )
    if way.device == "cuda" and way.provider == "tensorrt":
        return _missing_tensorrt()
    return None


def ask(
    runtime: ModuleType, settings: "onnxruntime.SessionOptions", way: Way
) -> list[tuple[str, dict[str, str]]] | None:
    """Make a session's settings ask for a way; gives what it must be told as its `providers`.

    Raises:
        EngineError: The plug-in's library does not load, or finds no GPU.
    """
    if way.device == "cpu":
        return [(_CPU, {})]
    if way.provider == "tensorrt-rtx":
        settings.add_provider_for_devices(_rtx_devices(runtime), {})
        # What the plug-in does not take would go to the CPU with no more than a log line.
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        return None
    # The CUDA, cuDNN and TensorRT wheels lie outside the loader's path.
    if hasattr(runtime, "preload_dlls"):
        runtime.preload_dlls()
    # TF32 has 10 bits of mantissa: with it fp32 bundles would miss their parity bounds.
    cuda = (_NAMES["cuda"], {"use_tf32": "0"})
    if way.provider == "cuda":
        return [cuda]
    _preload_tensorrt()
    # Its caches are read back by nobody who checks them: `vipx build` has engines that are (docs/tensorrt.md).
    options = {
        "trt_fp16_enable": str(int(way.precision == "fp16")),
        "trt_int8_enable": str(int(way.precision == "int8")),
        "trt_layer_norm_fp32_fallback": "1",
        "trt_engine_cache_enable": "0",
        "trt_timing_cache_enable": "0",
    }
    return [(way.name, options), cuda]


def library_of(way: Way) -> dict[str, str]:
    """Tell of what a session runs on beside ONNX Runtime, for its description."""
    if way.device == "cpu" or way.provider == "cuda":
        return {}
    found = _version(_RTX_PACKAGE) if way.provider == "tensorrt-rtx" else _tensorrt()
    return {"provider": f"{way.provider} {found}" if found else way.provider}


def _missing_plug_in(runtime: ModuleType) -> str | None:
    if not hasattr(runtime, "register_execution_provider_library"):
        return f"this ONNX Runtime {runtime.__version__} takes no plug-ins; 1.24 does, on Python 3.11 or later"
    if _version(_RTX_PACKAGE) is None:
        return "TensorRT-RTX is not installed: pip install 'vipx[rtx]'"
    return None


def _missing_tensorrt() -> str | None:
    found = _tensorrt()
    if found is None:
        return f"its TensorRT is not installed: pip install 'tensorrt-cu12~={_LINKED_TENSORRT}.0'"
    if int(found.split(".")[0]) != _LINKED_TENSORRT:
        return (
            f"ONNX Runtime's TensorRT provider is linked with TensorRT {_LINKED_TENSORRT}, and {found} is "
            "installed; use --engine tensorrt"
        )
    return None


def _rtx_devices(runtime: ModuleType) -> list[Any]:
    """Register the plug-in once for this process, and give the first GPU that it takes."""
    name = _NAMES["tensorrt-rtx"]
    found = [device for device in runtime.get_ep_devices() if device.ep_name == name]
    if not found:
        try:
            library = importlib.import_module(_RTX_MODULE).get_library_path()
            runtime.register_execution_provider_library(name, str(library))
        except Exception as error:
            # Neither the package nor onnxruntime documents its exceptions.
            raise EngineError(
                f"TensorRT-RTX does not load: {short_reason(error)}; it needs a driver for CUDA 13"
            ) from error
        found = [device for device in runtime.get_ep_devices() if device.ep_name == name]
    if not found:
        raise EngineError(
            "TensorRT-RTX finds no GPU that it takes (RTX 30 series or later); leave out --provider"
        )
    return found[:1]


def _preload_tensorrt() -> None:
    """Load TensorRT's libraries from its wheels, where ONNX Runtime's provider then finds them."""
    try:
        importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:
        raise EngineError(f"TensorRT does not load: {short_reason(error)}") from error


def _tensorrt() -> str | None:
    return next((found for name in _TENSORRTS if (found := _version(name))), None)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
