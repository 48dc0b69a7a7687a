"""Chooses the binding through which CUDA is reached."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from vipx.errors import EngineError
from vipx.runtime.cuda.backend import CudaBackend
from vipx.runtime.cuda.cuda_python import CudaPython, load_runtime
from vipx.runtime.cuda.pycuda import PyCuda, load_driver

BackendName = Literal["cuda-python", "pycuda"]
# The better first: with it, the launches of a whole bundle become one CUDA graph.
_BACKENDS: Mapping[BackendName, tuple[Callable[[], object], Callable[[], CudaBackend]]] = (
    MappingProxyType({"cuda-python": (load_runtime, CudaPython), "pycuda": (load_driver, PyCuda)})
)


def open_backend(name: Literal["auto"] | BackendName = "auto") -> CudaBackend:
    """Open the GPU through the named binding, or through the better one of those installed.

    Raises:
        EngineError: There is no driver, no GPU, or the binding is not installed.
    """
    return _BACKENDS[choose_backend(name)][1]()


def choose_backend(name: Literal["auto"] | BackendName = "auto") -> BackendName:
    """Name the binding that would be opened.

    Raises:
        EngineError: It is not installed, or none is; the reasons are named.
    """
    reasons = []
    for candidate, (load, _) in _BACKENDS.items():
        if name in ("auto", candidate):
            try:
                load()
            except EngineError as error:
                reasons.append(str(error))
            else:
                return candidate
    raise EngineError("; ".join(reasons))
