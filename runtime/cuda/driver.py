"""Asks NVIDIA's driver whether there is a GPU, before anything is loaded that would crash without one."""

import ctypes
import sys
from typing import Any

from vipx.errors import EngineError

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_NO_DEVICE = 100
_WORDS = {
    2: "the GPU's memory is full",
    3: "the driver is shutting down",
    34: "this is only the driver's stub library",
    35: "the driver is too old for this CUDA",
    _NO_DEVICE: "no NVIDIA GPU is visible (CUDA_VISIBLE_DEVICES, container flags)",
    101: "the GPU's number is invalid",
    802: "the system is not yet initialised",
    803: "driver and library are of different versions: restart the machine",
    804: "this GPU lacks forward compatibility with the installed CUDA",
    999: "unknown error: check `nvidia-smi` and the kernel module",
}


def load_library(name: str) -> Any:  # noqa: ANN401 - ctypes has no types
    """Load a shared library of the system."""
    return ctypes.CDLL(name)


def probe_cuda() -> int:
    """Initialise the driver, and give the newest CUDA that it knows, such as 13000 for 13.0.

    TensorRT ends the interpreter with a segmentation fault where this fails (docs/tensorrt.md), so
    nothing of it may exist before.

    Raises:
        EngineError: There is no driver or no GPU.
    """
    try:
        library = load_library(_LIBRARY)
    except OSError as error:
        raise EngineError(
            f"no NVIDIA driver: {_LIBRARY} cannot be loaded; install the driver or use --device cpu"
        ) from error
    count, version = ctypes.c_int(0), ctypes.c_int(0)
    _check("cuInit", library.cuInit(0))
    _check("cuDeviceGetCount", library.cuDeviceGetCount(ctypes.byref(count)))
    _check("cuDeviceGetCount", 0 if count.value else _NO_DEVICE)
    _check("cuDriverGetVersion", library.cuDriverGetVersion(ctypes.byref(version)))
    return version.value


def _check(call: str, code: int) -> None:
    if code != 0:
        reason = _WORDS.get(code, "see `nvidia-smi`")
        raise EngineError(f"the NVIDIA driver answers {call} with error {code}: {reason}")
