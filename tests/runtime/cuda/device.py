"""A GPU made of bytes: its memory, its streams, which do nothing until someone waits, and who holds what."""

import ctypes
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Work = Callable[[], None]
_FIRST_ADDRESS = 0x7_0000_0000_0000  # no address of this process: a host access to it would crash


@dataclass
class FakeEvent:
    time: int | None = None


@dataclass
class FakeStream:
    handle: int
    queue: list[Work] = field(default_factory=list)
    captured: list[Work] | None = None

    def put(self, work: Work) -> None:
        (self.queue if self.captured is None else self.captured).append(work)


class IllegalAccessError(AssertionError):
    """What a real GPU answers with error 700, and a crash later."""


class FakeDevice:
    """One GPU. Addresses are those of no real memory, so that only copies through it can work."""

    def __init__(
        self, *, memory: int = 8 << 30, integrated: bool = False, name: str = "Fake GPU 8"
    ) -> None:
        self.name, self.integrated, self.memory = name, integrated, memory
        self.capability, self.driver, self.runtime = (8, 7), 13000, 12090
        self.blocks: dict[int, Any] = {}
        self.pinned: dict[int, Any] = {}
        self.streams: dict[int, FakeStream] = {}
        self.objects = 0  # events and graphs that are alive
        self.transfers: list[tuple[str, int]] = []
        self.clock = 0
        self.used_elsewhere = 0
        self.probed = False
        self.contexts: list[Callable[[], bool]] = []  # whether one is current in the calling thread
        self._addresses = itertools.count(_FIRST_ADDRESS, 1 << 32)
        self._handles = itertools.count(0x5000, 0x10)

    @property
    def used(self) -> int:
        own = sum(ctypes.sizeof(block) for block in self.blocks.values())
        return own + self.used_elsewhere

    def allocate(self, size: int) -> int | None:
        if size <= 0 or self.used + size > self.memory:
            return None
        return self._place((ctypes.c_uint8 * size)())

    def free(self, address: int) -> None:
        if address not in self.blocks:
            raise IllegalAccessError(f"{address:#x} was never allocated or is free already")
        del self.blocks[address]

    def lock(self, size: int, *, mapped: bool) -> tuple[int, int | None]:
        """Give the host's and the device's address of page-locked memory."""
        buffer = (ctypes.c_uint8 * size)()
        address = ctypes.addressof(buffer)
        self.pinned[address] = (buffer, self._place(buffer) if mapped else None)
        return address, self.pinned[address][1]

    def unlock(self, address: int) -> None:
        _, seen = self.pinned.pop(address)
        if seen is not None:
            del self.blocks[seen]

    def view(self, address: int, size: int) -> memoryview:
        """Reach memory as a kernel does."""
        return self._within(self.blocks.items(), address, size)

    def host_view(self, address: int, size: int) -> memoryview:
        """Reach page-locked memory as the copy engine does."""
        locked = ((start, buffer) for start, (buffer, _) in self.pinned.items())
        return self._within(locked, address, size)

    def start_stream(self) -> FakeStream:
        stream = FakeStream(next(self._handles))
        self.streams[stream.handle] = stream
        return stream

    def copy(self, stream: FakeStream, kind: str, target: int, source: int, size: int) -> None:
        """Queue a copy; addresses are looked up now, as the real driver does, and bytes move later."""
        reach = {"up": (self.view, self.host_view), "down": (self.host_view, self.view)}[kind]
        to, of = reach[0](target, size), reach[1](source, size)

        def move() -> None:
            self.transfers.append((kind, size))
            to[:] = of

        stream.put(move)

    def record(self, event: FakeEvent, stream: FakeStream) -> None:
        def strike() -> None:
            event.time = self.clock

        stream.put(strike)

    def run(self, stream: FakeStream) -> None:
        """Do what is queued; everything takes a millisecond."""
        if stream.captured is not None:
            raise IllegalAccessError("waited for a stream during its capture")
        queue, stream.queue = stream.queue, []
        for work in queue:
            work()
            self.clock += 1

    def _place(self, buffer: Any) -> int:
        address = next(self._addresses)
        self.blocks[address] = buffer
        return address

    @staticmethod
    def _within(blocks: Any, address: int, size: int) -> memoryview:
        for start, buffer in blocks:
            if start <= address and address + size <= start + ctypes.sizeof(buffer):
                return memoryview(buffer).cast("B")[address - start : address - start + size]
        raise IllegalAccessError(f"{size} bytes at {address:#x} are not allocated")
