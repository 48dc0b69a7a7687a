"""Empties the outbox of one sink: in order, at least once, with pauses that grow while nobody takes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

from vipx.errors import ResourceError
from vipx.runtime.server.storage.store import Store
from vipx.runtime.sinks.sink import DeliveryError, Message, Sink, SinkState

_AT_ONCE = 50
_IDLE_S = 0.25
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 60.0


@runtime_checkable
class Outbox(Protocol):
    """Where messages wait; `StoreOutbox` in a server."""

    def waiting(self, sink: str, limit: int) -> list[tuple[int, str, str]]:
        """Give the oldest messages: number, result id, text."""

    async def remove(self, numbers: Sequence[int]) -> None:
        """Forget messages that were delivered."""


class StoreOutbox:
    """The outbox of a store that was opened with the names of its sinks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def waiting(self, sink: str, limit: int) -> list[tuple[int, str, str]]:
        """Give the oldest messages: number, result id, text."""
        return self._store.reader.messages(sink, limit)

    async def remove(self, numbers: Sequence[int]) -> None:
        """Forget messages that were delivered."""
        await self._store.remove_messages(numbers)


class Dispatcher:
    """Delivers the messages of one sink; only its own slowness can delay it, and it delays nobody."""

    def __init__(
        self,
        sink: Sink,
        outbox: Outbox,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sink, self._outbox, self._pause = sink, outbox, pause
        self._alarm: str | None = None
        self._delivered = 0
        self._wait_s = _FIRST_PAUSE_S

    @property
    def state(self) -> SinkState:
        """Say how the sink is."""
        return SinkState(self._sink.name, self._sink.kind, self._alarm, self._delivered)

    async def run(self) -> None:
        """Deliver until the task is cancelled."""
        try:
            while True:
                if await self.deliver_waiting() == 0:
                    await self._pause(_IDLE_S)
        finally:
            await asyncio.to_thread(self._sink.close)

    async def deliver_waiting(self) -> int:
        """Deliver some of what waits; after a failure, pause. Gives how many were delivered."""
        done: list[int] = []
        try:
            waiting = await asyncio.to_thread(self._outbox.waiting, self._sink.name, _AT_ONCE)
            for number, result_id, text in waiting:
                await asyncio.to_thread(self._sink.deliver, Message(result_id, text))
                done.append(number)
        except (DeliveryError, ResourceError) as error:
            self._alarm = str(error)
        else:
            self._alarm, self._wait_s = None, _FIRST_PAUSE_S
        await self._forget(done)
        if self._alarm is not None:
            await self._pause(self._wait_s)
            self._wait_s = min(2 * self._wait_s, _LONGEST_PAUSE_S)
        return len(done)

    async def _forget(self, done: list[int]) -> None:
        """Forget what was delivered; if that fails it is delivered again, as receivers are told to expect."""
        if not done:
            return
        self._delivered += len(done)
        try:
            await self._outbox.remove(done)
        except ResourceError as error:
            self._alarm = str(error)
