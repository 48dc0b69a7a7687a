"""Fake driver modules over a `FakeDevice`, with the names of the real ones alone, and as strict about use."""

import enum
import json
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from numpy import ndarray

from tests.runtime.cuda.device import FakeDevice, FakeEvent, FakeStream

API = Path(__file__).with_name("api")


def inventory(name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((API / f"{name}.json").read_text())
    return record


def fake_libcuda(device: FakeDevice | None, error: int = 0) -> Any:
    """What ctypes would load; without a device, as on a machine with a driver and no GPU."""

    def set_to(pointer: Any, value: int) -> int:
        pointer._obj.value = value
        return 0

    def init(flags: int) -> int:
        if device is not None:
            device.probed = True
        return error

    return SimpleNamespace(
        cuInit=init,
        cuDeviceGetCount=lambda pointer: set_to(pointer, device is not None),
        cuDriverGetVersion=lambda pointer: set_to(pointer, device.driver if device else 0),
    )


class Handle:
    """An opaque handle of the runtime: an int only where asked."""

    def __init__(self, value: int, content: Any) -> None:
        self.value, self.content = value, content

    def __int__(self) -> int:
        return self.value


def fake_modules(device: FakeDevice) -> dict[str, ModuleType]:
    """Everything that importing either binding would find."""
    runtime, driver = fake_cuda_runtime(device), fake_pycuda_driver(device)
    packages = {name: ModuleType(name) for name in ("cuda", "cuda.bindings", "pycuda")}
    return packages | {"cuda.bindings.runtime": runtime, "pycuda.driver": driver}


def fake_cuda_runtime(device: FakeDevice, version: int = 13) -> ModuleType:
    """`cuda.bindings.runtime` of CUDA 12 or 13."""
    api = inventory(f"cuda-python-{version}")
    module = ModuleType("cuda.bindings.runtime")
    enums = {name: enum.IntEnum(name, members) for name, members in api["enums"].items()}
    for name, value in (enums | api["constants"]).items():
        setattr(module, name, value)
    calls = _RuntimeCalls(device, enums, api)
    for name in (n for n in dir(calls) if n.startswith("cuda")):
        assert name in api["names"], f"cuda-bindings {api['version']} has no {name}"
        setattr(module, name, getattr(calls, name))
    return module


class _RuntimeCalls:
    def __init__(self, device: FakeDevice, enums: dict[str, Any], api: dict[str, Any]) -> None:
        self._device, self._enums, self._api = device, enums, api
        self._errors = enums["cudaError_t"]
        self._handles = iter(range(0x9000, 0x90000, 0x10))
        self._threads: set[int] = set()
        device.contexts.append(lambda: threading.get_ident() in self._threads)

    def _ok(self, *values: Any) -> tuple[Any, ...]:
        assert threading.get_ident() in self._threads, "no device was set in this thread"
        return (self._errors.cudaSuccess, *values)

    def cudaSetDevice(self, number: int) -> tuple[Any, ...]:
        if number != 0:
            return (self._errors.cudaErrorInvalidDevice,)
        self._threads.add(threading.get_ident())
        return self._ok()

    def cudaGetErrorString(self, error: Any) -> tuple[Any, ...]:
        assert isinstance(error, self._errors)
        return self._errors.cudaSuccess, error.name.encode()

    def cudaGetDeviceProperties(self, number: int) -> tuple[Any, ...]:
        known = SimpleNamespace(
            name=self._device.name.encode() + b"\0\0",
            major=self._device.capability[0],
            minor=self._device.capability[1],
            totalGlobalMem=self._device.memory,
        )
        assert set(vars(known)) <= set(self._api["properties"])
        return self._ok(known)

    def cudaDeviceGetAttribute(self, attribute: Any, number: int) -> tuple[Any, ...]:
        assert attribute is self._enums["cudaDeviceAttr"].cudaDevAttrIntegrated
        return self._ok(int(self._device.integrated))

    def cudaDriverGetVersion(self) -> tuple[Any, ...]:
        return self._ok(self._device.driver)

    def cudaRuntimeGetVersion(self) -> tuple[Any, ...]:
        return self._ok(self._device.runtime)

    def cudaMemGetInfo(self) -> tuple[Any, ...]:
        return self._ok(self._device.memory - self._device.used, self._device.memory)

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        address = self._device.allocate(size)
        return (
            (self._errors.cudaErrorMemoryAllocation, None) if address is None else self._ok(address)
        )

    def cudaFree(self, address: int) -> tuple[Any, ...]:
        assert type(address) is int
        self._device.free(address)
        return self._ok()

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[Any, ...]:
        assert type(flags) is int
        mapped = flags == self._api["constants"]["cudaHostAllocMapped"]
        assert mapped or flags == 0
        return self._ok(self._device.lock(size, mapped=mapped)[0])

    def cudaFreeHost(self, address: int) -> tuple[Any, ...]:
        self._device.unlock(address)
        return self._ok()

    def cudaHostGetDevicePointer(self, address: int, flags: int) -> tuple[Any, ...]:
        seen = self._device.pinned[address][1]
        return (self._errors.cudaErrorInvalidValue, None) if seen is None else self._ok(seen)

    def cudaMemcpyAsync(
        self, to: int, of: int, size: int, kind: Any, stream: Any
    ) -> tuple[Any, ...]:
        kinds = self._enums["cudaMemcpyKind"]
        names = {kinds.cudaMemcpyHostToDevice: "up", kinds.cudaMemcpyDeviceToHost: "down"}
        assert isinstance(kind, kinds)
        self._device.copy(self._stream(stream), names[kind], to, of, size)
        return self._ok()

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        assert flags == self._api["constants"]["cudaStreamNonBlocking"]
        stream = self._device.start_stream()
        return self._ok(Handle(stream.handle, stream))

    def cudaStreamDestroy(self, stream: Handle) -> tuple[Any, ...]:
        del self._device.streams[int(stream)]
        return self._ok()

    def cudaStreamSynchronize(self, stream: Handle) -> tuple[Any, ...]:
        self._device.run(self._stream(stream))
        return self._ok()

    def cudaStreamBeginCapture(self, stream: Handle, mode: Any) -> tuple[Any, ...]:
        assert isinstance(mode, self._enums["cudaStreamCaptureMode"])
        assert self._stream(stream).captured is None, "a capture within a capture"
        self._stream(stream).captured = []
        return self._ok()

    def cudaStreamEndCapture(self, stream: Handle) -> tuple[Any, ...]:
        captured, self._stream(stream).captured = self._stream(stream).captured, None
        assert captured is not None, "no capture to end"
        return self._ok(self._object(captured))

    def cudaGraphInstantiate(self, graph: Handle, flags: int) -> tuple[Any, ...]:
        return self._ok(self._object(list(graph.content)))

    def cudaGraphLaunch(self, executable: Handle, stream: Handle) -> tuple[Any, ...]:
        for work in executable.content:
            self._stream(stream).put(work)
        return self._ok()

    def cudaGraphDestroy(self, graph: Handle) -> tuple[Any, ...]:
        self._device.objects -= 1
        return self._ok()

    def cudaGraphExecDestroy(self, executable: Handle) -> tuple[Any, ...]:
        return self.cudaGraphDestroy(executable)

    def cudaEventDestroy(self, event: Handle) -> tuple[Any, ...]:
        return self.cudaGraphDestroy(event)

    def cudaEventCreate(self) -> tuple[Any, ...]:
        return self._ok(self._object(FakeEvent()))

    def cudaEventRecord(self, event: Handle, stream: Handle) -> tuple[Any, ...]:
        self._device.record(event.content, self._stream(stream))
        return self._ok()

    def cudaEventSynchronize(self, event: Handle) -> tuple[Any, ...]:
        _until(self._device, event.content)
        return self._ok()

    def cudaEventElapsedTime(self, start: Handle, end: Handle) -> tuple[Any, ...]:
        if start.content.time is None or end.content.time is None:
            return (self._errors.cudaErrorNotReady, None)
        return self._ok(float(end.content.time - start.content.time))

    def _object(self, content: Any) -> Handle:
        self._device.objects += 1
        return Handle(next(self._handles), content)

    def _stream(self, stream: Any) -> FakeStream:
        assert isinstance(stream, Handle), "the binding takes its own stream type"
        return self._device.streams[int(stream)]


def _until(device: FakeDevice, event: FakeEvent) -> None:
    for stream in list(device.streams.values()):
        if event.time is None and stream.captured is None:
            device.run(stream)


class _PycudaErrors:
    Error = type("Error", (Exception,), {})
    LogicError = type("LogicError", (Error,), {})
    MemoryError = type("MemoryError", (Error, MemoryError), {})


def fake_pycuda_driver(device: FakeDevice) -> ModuleType:
    """`pycuda.driver` of 2026.1: everything but the device's facts needs a context on this thread's stack."""
    api, state = inventory("pycuda"), _PycudaState(device)
    module = ModuleType("pycuda.driver")
    named = _pycuda_classes(device, state) | {
        "Error": _PycudaErrors.Error,
        "LogicError": _PycudaErrors.LogicError,
        "MemoryError": _PycudaErrors.MemoryError,
        "init": state.init,
        "get_version": lambda: (12, 9, 0),
        "get_driver_version": lambda: device.driver,
        "mem_get_info": state.mem_get_info,
        "mem_alloc": state.mem_alloc,
        "pagelocked_empty": state.pagelocked_empty,
        "memcpy_htod_async": state.memcpy_htod_async,
        "memcpy_dtoh_async": state.memcpy_dtoh_async,
        "host_alloc_flags": SimpleNamespace(DEVICEMAP=2),
        "device_attribute": SimpleNamespace(INTEGRATED=18),
    }
    for name, value in named.items():
        assert name in api["module"], f"pycuda has no {name}"
        for attribute in (a for a in dir(value) if isinstance(value, type) and a[0] != "_"):
            assert issubclass(value, Exception) or attribute in api["classes"][name], attribute
        setattr(module, name, value)
    return module


class _PycudaState:
    def __init__(self, device: FakeDevice) -> None:
        self.device, self.initialised, self.retained = device, False, 0
        self._local = threading.local()
        device.contexts.append(lambda: bool(self.stack))

    @property
    def stack(self) -> list[Any]:
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        stack: list[Any] = self._local.stack
        return stack

    def current(self) -> None:
        if not self.stack:
            raise _PycudaErrors.LogicError("invalid device context: no currently active context")

    def init(self) -> None:
        self.initialised = True

    def mem_get_info(self) -> tuple[int, int]:
        self.current()
        return self.device.memory - self.device.used, self.device.memory

    def mem_alloc(self, size: int) -> Any:
        self.current()
        address = self.device.allocate(size)
        if address is None:
            raise _PycudaErrors.MemoryError("cuMemAlloc failed: out of memory")
        return _Allocation(self, address)

    def pagelocked_empty(
        self, shape: int, dtype: Any, order: str = "C", mem_flags: int = 0
    ) -> ndarray:
        self.current()
        assert np.dtype(dtype) == np.uint8
        locked: Any = _Locked(self, shape, mem_flags == 2)
        return np.asarray(locked)

    def memcpy_htod_async(self, to: Any, of: ndarray, stream: Any) -> None:
        self.current()
        self.device.copy(stream._content, "up", int(to), of.ctypes.data, of.nbytes)

    def memcpy_dtoh_async(self, to: ndarray, of: Any, stream: Any) -> None:
        self.current()
        self.device.copy(stream._content, "down", to.ctypes.data, int(of), to.nbytes)


class _Allocation:
    def __init__(self, state: _PycudaState, address: int) -> None:
        self._state, self._address = state, address

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        self._state.device.free(self._address)
        self._address = 0

    def __del__(self) -> None:
        if self._address:
            self._state.device.free(self._address)


class _Locked:
    """The base of an array over page-locked memory, which frees it."""

    def __init__(self, state: _PycudaState, size: int, mapped: bool) -> None:
        self._state = state
        self._address, self._seen = state.device.lock(size, mapped=mapped)
        self.__array_interface__ = {
            "version": 3,
            "shape": (size,),
            "typestr": "|u1",
            "data": (self._address, False),
        }

    def get_device_pointer(self) -> int:
        assert self._seen is not None, "cuMemHostGetDevicePointer failed: invalid argument"
        return self._seen

    def __del__(self) -> None:
        self._state.device.unlock(self._address)


def _pycuda_classes(  # noqa: C901 - four small classes
    device: FakeDevice, state: _PycudaState
) -> dict[str, Any]:
    class Context:
        def __init__(self) -> None:
            state.retained += 1

        def __del__(self) -> None:
            state.retained -= 1

        def push(self) -> None:
            state.stack.append(self)

        @staticmethod
        def pop() -> None:
            state.current()
            state.stack.pop()

    class Device:
        def __init__(self, number: int) -> None:
            if not state.initialised:
                raise _PycudaErrors.LogicError("cuDeviceGet failed: initialization error")

        def retain_primary_context(self) -> Context:
            return Context()

        def name(self) -> str:
            return device.name

        def compute_capability(self) -> tuple[int, int]:
            return device.capability

        def total_memory(self) -> int:
            return device.memory

        def get_attribute(self, attribute: int) -> int:
            assert attribute == 18
            return int(device.integrated)

    class Stream:
        def __init__(self, flags: int = 0) -> None:
            state.current()
            self._content = device.start_stream()

        @property
        def handle(self) -> int:
            return self._content.handle

        def synchronize(self) -> None:
            state.current()
            device.run(self._content)

        def __del__(self) -> None:
            if hasattr(self, "_content"):  # not where there was no context
                del device.streams[self._content.handle]

    class Event:
        def __init__(self, flags: int = 0) -> None:
            state.current()
            self._content = FakeEvent()
            device.objects += 1

        def record(self, stream: Any = None) -> "Event":
            state.current()
            device.record(self._content, stream._content)
            return self

        def synchronize(self) -> "Event":
            state.current()
            _until(device, self._content)
            return self

        def time_since(self, start: "Event") -> float:
            if self._content.time is None or start._content.time is None:
                raise _PycudaErrors.Error("cuEventElapsedTime failed: not ready")
            return float(self._content.time - start._content.time)

        def __del__(self) -> None:
            device.objects -= 1

    return {"Device": Device, "Context": Context, "Stream": Stream, "Event": Event}
