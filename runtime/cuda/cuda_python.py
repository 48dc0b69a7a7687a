"""CUDA through NVIDIA's own binding (packages cuda-python or cuda-bindings): the only one with CUDA graphs."""

import ctypes
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from vipx.errors import EngineError, ResourceError
from vipx.runtime.cuda.backend import CudaEvent, CudaGraph, CudaStream, DeviceFacts, HostBuffer
from vipx.runtime.cuda.driver import probe_cuda

_DEVICE = 0  # CUDA_VISIBLE_DEVICES says which one that is


def load_runtime() -> ModuleType:
    """Import the binding of CUDA's runtime, or say how to get it.

    Raises:
        EngineError: It is not installed or does not load.
    """
    try:
        return import_module("cuda.bindings.runtime")
    except ImportError as error:
        raise EngineError(
            f"cuda-python cannot be used ({error}); install it: pip install 'vipx[tensorrt]'"
        ) from error


class CudaPython:
    """The device's primary context through CUDA's runtime.

    Raises:
        EngineError: There is no driver, no GPU or no binding.
    """

    name = "cuda-python"
    graphs = True

    def __init__(self) -> None:
        probe_cuda()
        self._cuda = Calls(load_runtime())
        with self.active():
            self.facts = self._read_facts()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the primary context the current one; the runtime keeps no stack, so nothing is put back."""
        self._cuda("SetDevice", _DEVICE)
        yield

    def free_memory(self) -> int:
        """Give the bytes of the device that nobody uses."""
        free, _ = self._cuda("MemGetInfo")
        return int(free)

    def allocate(self, size: int) -> int:
        """Give the address of `size` bytes on the device."""
        return int(self._cuda("Malloc", size))

    def release(self, pointer: int) -> None:
        """Give back what `allocate` gave."""
        self._cuda("Free", pointer)

    def host(self, size: int, *, mapped: bool = False) -> HostBuffer:
        """Give page-locked memory."""
        runtime = self._cuda.runtime
        flag = runtime.cudaHostAllocMapped if mapped else runtime.cudaHostAllocDefault
        address = int(self._cuda("HostAlloc", size, int(flag)))
        memory = (ctypes.c_uint8 * size).from_address(address)
        # numpy keeps `memory` as the base of every view, so the last view frees.
        _at_end(memory, self._cuda, "FreeHost", address)
        pointer = int(self._cuda("HostGetDevicePointer", address, 0)) if mapped else None
        return HostBuffer(np.ctypeslib.as_array(memory), pointer)

    def stream(self) -> CudaStream:
        """Start a stream that waits for no other."""
        return _Stream(self._cuda)

    def close(self) -> None:
        """Do nothing: the primary context belongs to the process, and ends with it."""

    def _read_facts(self) -> DeviceFacts:
        properties = self._cuda("GetDeviceProperties", _DEVICE)
        integrated = self._cuda.runtime.cudaDeviceAttr.cudaDevAttrIntegrated
        return DeviceFacts(
            name=bytes(properties.name).split(b"\0")[0].decode(),
            capability=(int(properties.major), int(properties.minor)),
            memory=int(properties.totalGlobalMem),
            driver=int(self._cuda("DriverGetVersion")),
            runtime=int(self._cuda("RuntimeGetVersion")),
            integrated=bool(self._cuda("DeviceGetAttribute", integrated, _DEVICE)),
        )


class Calls:
    """Calls CUDA's runtime by name, and turns its error codes into ours."""

    def __init__(self, runtime: ModuleType) -> None:
        self.runtime = runtime

    def __call__(self, name: str, *arguments: Any) -> Any:  # noqa: ANN401 - whatever the call gives
        """Call `cuda` + name; give its one result, or a tuple of several."""
        code, *results = getattr(self.runtime, f"cuda{name}")(*arguments)
        errors = self.runtime.cudaError_t
        if code == errors.cudaSuccess:
            return results[0] if len(results) == 1 else tuple(results)
        _, text = self.runtime.cudaGetErrorString(code)
        message = f"CUDA: cuda{name} failed: {bytes(text).decode()} (error {int(code)})"
        if code == errors.cudaErrorMemoryAllocation:
            raise ResourceError(f"{message}; close what else uses the GPU or build a smaller batch")
        raise EngineError(f"{message}; see `vipx doctor`")


class _Stream:
    def __init__(self, cuda: Calls) -> None:
        self._cuda = cuda
        self._stream = cuda("StreamCreateWithFlags", int(cuda.runtime.cudaStreamNonBlocking))
        _at_end(self, cuda, "StreamDestroy", self._stream)

    @property
    def handle(self) -> int:
        return int(self._stream)

    def upload(self, pointer: int, source: UInt8[ndarray, " bytes"]) -> None:
        kind = self._cuda.runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._cuda("MemcpyAsync", pointer, source.ctypes.data, source.nbytes, kind, self._stream)

    def download(self, target: UInt8[ndarray, " bytes"], pointer: int) -> None:
        kind = self._cuda.runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._cuda("MemcpyAsync", target.ctypes.data, pointer, target.nbytes, kind, self._stream)

    def mark(self) -> CudaEvent:
        return _Event(self._cuda, self._stream)

    def wait(self) -> None:
        self._cuda("StreamSynchronize", self._stream)

    def capture(self, work: Callable[[], None]) -> CudaGraph:
        # Thread-local: another engine's thread may allocate meanwhile without spoiling the capture.
        mode = self._cuda.runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._cuda("StreamBeginCapture", self._stream, mode)
        try:
            work()
        except BaseException:
            # The stream is of no use until the capture ended; what `work` said is the error to report.
            self._cuda.runtime.cudaStreamEndCapture(self._stream)
            raise
        graph = self._cuda("StreamEndCapture", self._stream)
        try:
            return _Graph(self._cuda, self._cuda("GraphInstantiate", graph, 0), self._stream)
        finally:
            self._cuda("GraphDestroy", graph)


class _Event:
    def __init__(self, cuda: Calls, stream: object) -> None:
        self._cuda, self._event = cuda, cuda("EventCreate")
        _at_end(self, cuda, "EventDestroy", self._event)
        cuda("EventRecord", self._event, stream)

    def since(self, start: CudaEvent) -> float:
        assert isinstance(start, _Event), "both marks are this backend's"
        self._cuda("EventSynchronize", self._event)
        return float(self._cuda("EventElapsedTime", start._event, self._event))


class _Graph:
    def __init__(self, cuda: Calls, executable: object, stream: object) -> None:
        self._cuda, self._executable, self._stream = cuda, executable, stream
        _at_end(self, cuda, "GraphExecDestroy", executable)

    def launch(self) -> None:
        self._cuda("GraphLaunch", self._executable, self._stream)


def _at_end(owner: object, cuda: Calls, name: str, handle: object) -> None:
    """Free a handle with its owner, but not at the interpreter's end, when the driver may be gone before."""
    finalizer = weakref.finalize(owner, getattr(cuda.runtime, f"cuda{name}"), handle)
    finalizer.atexit = False
