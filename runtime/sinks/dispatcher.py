"""Empties the outbox of one sink: in order, at least once, with pauses that grow while nobody takes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

from vipx.errors import ResourceError
from vipx.runtime.server.completion import completed
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
        # A thread of its own: sinks that wait for their receivers must not take those that verdicts need.
        self._thread = ThreadPoolExecutor(1, f"vipx-{sink.kind}")
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
            await self._off_loop(self._sink.close)

    async def finish(self, within_s: float) -> None:
        """Deliver what waits, without pauses, until all or the receiver or the time is gone; then let go."""

        async def rest() -> None:
            while await self._deliver_some():
                pass

        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(rest(), within_s)
        await self._off_loop(self._sink.close)
        self._thread.shutdown(wait=False)

    async def deliver_waiting(self) -> int:
        """Deliver some of what waits; after a failure, pause. Gives how many were delivered."""
        delivered = await self._deliver_some()
        if self._alarm is not None:
            await self._pause(self._wait_s)
            self._wait_s = min(2 * self._wait_s, _LONGEST_PAUSE_S)
        return delivered

    async def _deliver_some(self) -> int:
        done: list[int] = []

        def hand_over(number: int, message: Message) -> None:
            self._sink.deliver(message)
            done.append(number)

        try:
            waiting = await self._off_loop(self._outbox.waiting, self._sink.name, _AT_ONCE)
            for number, result_id, text in waiting:
                await self._off_loop(hand_over, number, Message(result_id, text))
        except (DeliveryError, ResourceError) as error:
            self._alarm = str(error)
        else:
            self._alarm = None
        finally:
            if done or self._alarm is None:
                self._wait_s = _FIRST_PAUSE_S
            await self._forget(done)
        return len(done)

    async def _off_loop(self, call: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
        """Call in the sink's own thread; who is cancelled learns first whether the message was delivered."""
        loop = asyncio.get_running_loop()
        return await completed(loop.run_in_executor(self._thread, call, *arguments))

    async def _forget(self, done: list[int]) -> None:
        """Forget what was delivered; if that fails it is delivered again, as receivers are told to expect."""
        if not done:
            return
        self._delivered += len(done)
        try:
            await self._outbox.remove(done)
        except ResourceError as error:
            self._alarm = str(error)
