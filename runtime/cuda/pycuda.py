"""CUDA through pycuda: the primary context, pushed and popped around every use; no CUDA graphs."""

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


def load_driver() -> ModuleType:
    """Import pycuda's driver module, or say how to get it; never pycuda.autoinit, which takes the thread over.

    Raises:
        EngineError: It is not installed or does not load.
    """
    try:
        return import_module("pycuda.driver")
    except ImportError as error:
        raise EngineError(
            f"pycuda cannot be used ({error}); it is built from source against the CUDA toolkit: "
            "pip install 'vipx[pycuda]'"
        ) from error


class PyCuda:
    """The device's primary context, which TensorRT and cuda-python share, retained until `close`.

    Raises:
        EngineError: There is no driver, no GPU or no pycuda.
    """

    name = "pycuda"
    graphs = False

    def __init__(self) -> None:
        probe_cuda()
        self._driver = driver = load_driver()
        with _translated(driver):
            driver.init()
            self._device = driver.Device(_DEVICE)
            self._context: Any = self._device.retain_primary_context()
        # pycuda frees an allocation with its object, so the objects are kept by their addresses.
        self._allocations: dict[int, Any] = {}
        self.facts = self._read_facts()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Push the primary context on this thread's stack, and pop it again."""
        if self._context is None:
            raise EngineError("pycuda: this backend was closed; open the engine again")
        context = self._context
        with _translated(self._driver):
            context.push()
            try:
                yield
            finally:
                context.pop()

    def free_memory(self) -> int:
        """Give the bytes of the device that nobody uses."""
        free, _ = self._driver.mem_get_info()
        return int(free)

    def allocate(self, size: int) -> int:
        """Give the address of `size` bytes on the device."""
        allocation = self._driver.mem_alloc(size)
        self._allocations[int(allocation)] = allocation
        return int(allocation)

    def release(self, pointer: int) -> None:
        """Give back what `allocate` gave."""
        self._allocations.pop(pointer).free()

    def host(self, size: int, *, mapped: bool = False) -> HostBuffer:
        """Give page-locked memory; pycuda frees it with the last view."""
        flags = self._driver.host_alloc_flags.DEVICEMAP if mapped else 0
        array = self._driver.pagelocked_empty(size, np.uint8, mem_flags=flags)
        return HostBuffer(array, int(array.base.get_device_pointer()) if mapped else None)

    def stream(self) -> CudaStream:
        """Start a stream that waits for no other."""
        return _Stream(self._driver)

    def close(self) -> None:
        """Let go of the primary context; closing twice does no harm."""
        self._allocations.clear()
        self._context = None

    def _read_facts(self) -> DeviceFacts:
        driver, device = self._driver, self._device
        major, minor, _ = driver.get_version()
        with _translated(driver):
            integrated = device.get_attribute(driver.device_attribute.INTEGRATED)
            return DeviceFacts(
                name=str(device.name()),
                capability=tuple(device.compute_capability()),
                memory=int(device.total_memory()),
                driver=int(driver.get_driver_version()),
                runtime=1000 * int(major) + 10 * int(minor),
                integrated=bool(integrated),
            )


class _Stream:
    def __init__(self, driver: ModuleType) -> None:
        self._driver = driver
        self._stream = driver.Stream(_NON_BLOCKING)

    @property
    def handle(self) -> int:
        return int(self._stream.handle)

    def upload(self, pointer: int, source: UInt8[ndarray, " bytes"]) -> None:
        self._driver.memcpy_htod_async(pointer, source, self._stream)

    def download(self, target: UInt8[ndarray, " bytes"], pointer: int) -> None:
        self._driver.memcpy_dtoh_async(target, pointer, self._stream)

    def mark(self) -> CudaEvent:
        return _Event(self._driver, self._stream)

    def wait(self) -> None:
        self._stream.synchronize()

    def capture(self, work: Callable[[], None]) -> CudaGraph:
        raise EngineError(
            "pycuda has no CUDA graphs; pass --no-cuda-graph or --cuda-backend cuda-python"
        )


class _Event:
    def __init__(self, driver: ModuleType, stream: object) -> None:
        self._event = driver.Event()
        self._event.record(stream)

    def since(self, start: CudaEvent) -> float:
        assert isinstance(start, _Event), "both marks are this backend's"
        self._event.synchronize()
        return float(self._event.time_since(start._event))


# pycuda passes flags on to cuStreamCreate, and has no name for CU_STREAM_NON_BLOCKING.
_NON_BLOCKING = 1


@contextmanager
def _translated(driver: ModuleType) -> Iterator[None]:
    """Turn pycuda's errors into ours."""
    try:
        yield
    except driver.MemoryError as error:
        raise ResourceError(
            f"CUDA: {error}; close what else uses the GPU or build a smaller batch"
        ) from error
    except driver.Error as error:
        raise EngineError(f"CUDA: {error}; see `vipx doctor`") from error
