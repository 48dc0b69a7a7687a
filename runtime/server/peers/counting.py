"""What `/metrics` says of sources and sinks."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence

from vipx.errors import ResourceError
from vipx.runtime.server.app.metrics import Sample, counter, gauge
from vipx.runtime.server.page.context import PeerState
from vipx.runtime.server.storage.store import Store


async def peer_metrics(states: Callable[[], Sequence[PeerState]], store: Store) -> Sequence[str]:
    """Write their counts; what waits in the outbox is left out while the database cannot be read."""
    peers = states()
    sinks = [peer for peer in peers if peer.direction == "sink"]
    delivered = [Sample(_labels(peer), peer.done) for peer in sinks]
    alarms = [Sample(_labels(peer), int(peer.alarm is not None)) for peer in peers]
    restarts = [Sample(_labels(peer), peer.restarts) for peer in peers]
    return [
        *_sources([peer for peer in peers if peer.direction == "source"]),
        *counter("vipx_sink_deliveries_total", "Results that a sink took", delivered),
        *_waiting(sinks, await _outbox(store)),
        *gauge("vipx_peer_alarm", "Whether a source or a sink has an alarm", alarms),
        *counter("vipx_peer_restarts_total", "Starts after a bug ended a source or sink", restarts),
    ]


def _sources(sources: Sequence[PeerState]) -> Iterator[str]:
    taken = [Sample(_labels(peer), peer.done) for peer in sources]
    failed = [Sample(_labels(peer), peer.failed) for peer in sources]
    yield from counter("vipx_source_pictures_total", "Pictures that a source delivered", taken)
    text = "Pictures of a source that could not be inspected"
    yield from counter("vipx_source_failures_total", text, failed)


def _waiting(sinks: Sequence[PeerState], outbox: Mapping[str, int] | None) -> Iterator[str]:
    if outbox is None:
        return
    waiting = [Sample(_labels(peer), outbox.get(peer.name, 0)) for peer in sinks]
    dropped = [Sample(_labels(peer), outbox.get(f"dropped:{peer.name}", 0)) for peer in sinks]
    yield from gauge("vipx_sink_waiting", "Results that wait for a sink", waiting)
    text = "Results that were given up, as too many waited for a sink"
    yield from counter("vipx_sink_dropped_total", text, dropped)


async def _outbox(store: Store) -> Mapping[str, int] | None:
    try:
        return await asyncio.to_thread(store.reader.outbox)
    except ResourceError:  # the store's own alarm says so
        return None


def _labels(peer: PeerState) -> dict[str, str]:
    return {peer.direction: peer.name, "kind": peer.kind}
