"""All sources and sinks of a server: started and ended in order, and how they are."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from vipx.runtime.server.app.inspection import Inspecting, Recorded
from vipx.runtime.server.page.context import PeerState
from vipx.runtime.server.peers.delivering import Delivering
from vipx.runtime.server.peers.keeping import Kept
from vipx.runtime.server.peers.making import Connected, LinePeers
from vipx.runtime.server.storage.store import Store
from vipx.runtime.sinks.dispatcher import Dispatcher, StoreOutbox
from vipx.runtime.sinks.live import LiveValues, Readiness
from vipx.runtime.sinks.sink import SinkState
from vipx.runtime.sources.camera import CameraSource
from vipx.runtime.sources.source import Picture, SourceState

_LOG = logging.getLogger("vipx.server")
END_S: Final = 3.0  # what no receiver takes in this time waits in the outbox for the next start


@runtime_checkable
class SinkTask(Protocol):
    """What brings results to one sink."""

    @property
    def state(self) -> SinkState:
        """Say how the sink is."""

    async def run(self) -> None:
        """Deliver until the task is cancelled."""

    async def finish(self, within_s: float) -> None:
        """Deliver the rest, for so long at most, and let go."""


@dataclass(frozen=True, slots=True)
class _Source:
    connected: Connected
    delivering: Delivering
    kept: Kept

    @property
    def state(self) -> PeerState:
        state: SourceState = self.connected.source.state
        detail = f"{state.delivered} pictures for {self.connected.recipe}"
        if state.failed:
            detail += f", {state.failed} not inspected"
        return PeerState(
            name=state.name,
            kind=state.kind,
            direction="source",
            alarm=self.kept.alarm or state.alarm,
            detail=detail,
            done=state.delivered,
            failed=state.failed,
            restarts=self.kept.restarts,
        )


@dataclass(frozen=True, slots=True)
class _Sink:
    task: SinkTask
    kept: Kept

    @property
    def state(self) -> PeerState:
        state = self.task.state
        return PeerState(
            name=state.name,
            kind=state.kind,
            direction="sink",
            alarm=self.kept.alarm or state.alarm,
            detail=f"{state.delivered} delivered",
            done=state.delivered,
            restarts=self.kept.restarts,
        )

    async def end(self) -> None:
        await self.kept.stop()
        try:
            await self.task.finish(END_S)
        except Exception:  # the other sinks and the store are to end in peace all the same
            _LOG.exception("sink %s did not end", self.state.name)


class Peers:
    """The sources and sinks of one server, on its event loop.

    Args:
        peers: What there is.
        inspecting: What inspects what the sources deliver.
        store: Has what the sinks are told; opened with the names of those that have an outbox.
    """

    def __init__(self, peers: LinePeers, inspecting: Inspecting, store: Store) -> None:
        self._sources = [_source(one, inspecting) for one in peers.sources]
        outbox = StoreOutbox(store)
        tasks: list[SinkTask] = [Dispatcher(sink, outbox) for sink in peers.sinks]
        for sink in peers.values:
            live = LiveValues(sink, lambda: _readiness(inspecting))
            store.listen(live.publish)
            tasks.append(live)
        self._sinks = [_Sink(one, Kept(f"sink {one.state.name}", one.run)) for one in tasks]

    def start_sinks(self) -> None:
        """Begin to deliver what waits."""
        for sink in self._sinks:
            sink.kept.start()

    def start_sources(self) -> None:
        """Begin to take pictures."""
        for source in self._sources:
            source.kept.start()

    async def stop_sources(self) -> None:
        """Take no more pictures; done when those that were taken are answered."""
        await asyncio.gather(*(source.kept.stop() for source in self._sources))

    async def stop_sinks(self) -> None:
        """Deliver for a moment more, then leave the rest in the outbox."""
        await asyncio.gather(*(sink.end() for sink in self._sinks))

    def states(self) -> list[PeerState]:
        """Say how all are."""
        return [peer.state for peer in self._each()]

    @property
    def cameras(self) -> dict[str, CameraSource]:
        """Give the cameras that can be triggered, by name."""
        return {
            one.state.name: one.connected.source
            for one in self._sources
            if isinstance(one.connected.source, CameraSource)
        }

    async def inspect(self, picture: Picture) -> Recorded:
        """Inspect the frame of a camera that was triggered; raises as a request does."""
        name = picture.source.partition(":")[2]
        camera = next(one for one in self._sources if one.state.name == name)
        return await camera.delivering.recorded(picture)

    def _each(self) -> Iterator[_Source | _Sink]:
        yield from self._sources
        yield from self._sinks


def _source(connected: Connected, inspecting: Inspecting) -> _Source:
    delivering = Delivering(inspecting, connected)
    source = connected.source
    kept = Kept(f"source {source.state.name}", lambda: source.run(delivering.deliver))
    return _Source(connected, delivering, kept)


def _readiness(inspecting: Inspecting) -> Readiness:
    return Readiness(inspecting.ready, inspecting.work.state.queued > 0)
