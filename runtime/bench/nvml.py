"""The GPU's own counters through NVIDIA's management library (NVML), which comes with the driver."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vipx.runtime.bench.record import GpuRecord

_LIBRARIES = ("libnvidia-ml.so.1", "nvml.dll")
_SM_CLOCK = 1
_GPU_TEMPERATURE = 0
_NAME_BYTES = 96


class _Memory(ctypes.Structure):
    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


class Gpu:
    """One GPU; every answer is None where the driver does not know it (Jetsons know few)."""

    def __init__(self, library: Any, handle: ctypes.c_void_p) -> None:  # noqa: ANN401 - a ctypes library
        self._library, self._handle = library, handle

    def record(self) -> GpuRecord:
        """Say what it is."""
        name, driver = (ctypes.create_string_buffer(_NAME_BYTES) for _ in range(2))
        self._asked("nvmlDeviceGetName", self._handle, name, _NAME_BYTES)
        self._asked("nvmlSystemGetDriverVersion", driver, _NAME_BYTES)
        memory = self._memory()
        return GpuRecord(
            name=name.value.decode(errors="replace") or "unknown",
            driver=driver.value.decode(errors="replace") or "unknown",
            memory=None if memory is None else memory.total,
        )

    def used(self) -> int | None:
        """Give the bytes that all programs together hold on it."""
        memory = self._memory()
        return None if memory is None else memory.used

    def megahertz(self) -> int | None:
        """Give the clock of its multiprocessors."""
        value = ctypes.c_uint()
        good = self._asked("nvmlDeviceGetClockInfo", self._handle, _SM_CLOCK, ctypes.byref(value))
        return value.value if good else None

    def celsius(self) -> int | None:
        """Give its temperature."""
        value = ctypes.c_uint()
        arguments = (self._handle, _GPU_TEMPERATURE, ctypes.byref(value))
        return value.value if self._asked("nvmlDeviceGetTemperature", *arguments) else None

    def throttle(self) -> int | None:
        """Give the bits that say why its clock is held down; 0 and 1 (idle) are harmless."""
        value, call = ctypes.c_ulonglong(), "nvmlDeviceGetCurrentClocksThrottleReasons"
        return value.value if self._asked(call, self._handle, ctypes.byref(value)) else None

    def _memory(self) -> _Memory | None:
        memory = _Memory()
        good = self._asked("nvmlDeviceGetMemoryInfo", self._handle, ctypes.byref(memory))
        return memory if good else None

    def _asked(self, call: str, *arguments: object) -> bool:
        function = getattr(self._library, call, None)
        return function is not None and function(*arguments) == 0


@contextmanager
def first_gpu() -> Iterator[Gpu | None]:
    """Yield the GPU that CUDA takes first, while the library is open; None where there is none."""
    library = _load()
    if library is None or library.nvmlInit_v2() != 0:
        yield None
        return
    try:
        handle = ctypes.c_void_p()
        found = library.nvmlDeviceGetHandleByIndex_v2(_index(), ctypes.byref(handle)) == 0
        yield Gpu(library, handle) if found else None
    finally:
        library.nvmlShutdown()


def _index() -> int:
    """Give NVML's number of CUDA's first GPU, where the environment names it by number."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    return int(visible) if visible.isdecimal() else 0


def _load() -> Any:  # noqa: ANN401 - a ctypes library
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None
