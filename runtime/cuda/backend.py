"""The protocol of a CUDA backend: what an engine needs of a GPU beside the engine library itself."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import UInt8
from numpy import ndarray


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """One GPU.

    Attributes:
        name: As its maker calls it.
        capability: Compute capability, such as (8, 7).
        memory: All of its memory in bytes; on a Jetson that of the whole board.
        driver: The newest CUDA that the driver knows, such as 13000 for 13.0.
        runtime: The CUDA that the binding was built for, in the same form.
        integrated: Whether CPU and GPU share one memory, as on a Jetson; then mapped memory needs no copies.
    """

    name: str
    capability: tuple[int, int]
    memory: int
    driver: int
    runtime: int
    integrated: bool


@dataclass(frozen=True, slots=True)
class HostBuffer:
    """Page-locked memory of the CPU.

    The memory lives as long as any array over it: it is freed with the last view, not with this object.

    Attributes:
        array: The bytes. Views of other types are taken of it.
        pointer: Where the device sees the same bytes, if they were mapped.
    """

    array: UInt8[ndarray, " bytes"]
    pointer: int | None = None


@runtime_checkable
class CudaEvent(Protocol):
    """A mark in a stream."""

    def since(self, start: "CudaEvent") -> float:
        """Wait until the stream has passed both marks, and give the milliseconds between them."""


@runtime_checkable
class CudaGraph(Protocol):
    """Work that was captured from a stream once, to be launched again as one."""

    def launch(self) -> None:
        """Queue the captured work on the stream that it was captured from."""


@runtime_checkable
class CudaStream(Protocol):
    """Work in order; nothing is done when a call returns, only when `wait` does."""

    @property
    def handle(self) -> int:
        """The stream's address, for other libraries."""

    def upload(self, pointer: int, source: UInt8[ndarray, " bytes"]) -> None:
        """Queue a copy to the device; `source` must stay as it is until it was done."""

    def download(self, target: UInt8[ndarray, " bytes"], pointer: int) -> None:
        """Queue a copy from the device."""

    def mark(self) -> CudaEvent:
        """Queue a mark with the time."""

    def wait(self) -> None:
        """Wait until everything queued was done.

        Raises:
            EngineError: Something queued before has failed.
        """

    def capture(self, work: Callable[[], None]) -> CudaGraph:
        """Record what `work` queues on this stream, without doing it.

        Raises:
            EngineError: The backend has no graphs, or something in `work` cannot be captured.
        """


@runtime_checkable
class CudaBackend(Protocol):
    """One GPU through one binding; from one thread at a time, and only within `active`."""

    @property
    def name(self) -> str:
        """The binding."""

    @property
    def graphs(self) -> bool:
        """Whether streams can be captured."""

    @property
    def facts(self) -> DeviceFacts:
        """Say which GPU this is; also outside of `active`."""

    def active(self) -> AbstractContextManager[None]:
        """Make the device's primary context the current one of this thread, and put back what was."""

    def free_memory(self) -> int:
        """Give the bytes of the device that nobody uses."""

    def allocate(self, size: int) -> int:
        """Give the address of `size` bytes on the device, aligned to 256; the caller releases it.

        Raises:
            ResourceError: The device has not that much.
        """

    def release(self, pointer: int) -> None:
        """Give back what `allocate` gave."""

    def host(self, size: int, *, mapped: bool = False) -> HostBuffer:
        """Give page-locked memory, which the device reads at full speed; mapped, it needs no copy.

        Raises:
            ResourceError: The system has not that much to lock.
        """

    def stream(self) -> CudaStream:
        """Start a stream that waits for no other; it ends with its last reference."""

    def close(self) -> None:
        """Let go of the device; closing twice does no harm."""
