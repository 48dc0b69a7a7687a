"""The live board: the last results with their pictures, the counters, and who listens."""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray

from vipx.runtime.server.storage.pictures import lasting
from vipx.runtime.server.storage.record import Receipt, Record
from vipx.runtime.server.storage.rows import plain
from vipx.verdict import Verdict

_SHOWN = 12
_MAPS = 16
_MOST_LISTENERS = 32
_HEARTBEAT_S = 10.0
_LONGEST_SIDE = 1024


@dataclass(slots=True)
class Counters:
    """What was counted since somebody last set it to nothing; milliseconds are of the engine's whole answer."""

    since: int
    triggers: int = 0
    ok: int = 0
    ng: int = 0
    review: int = 0
    error: int = 0
    longest: float = 0.0
    shortest: float = 0.0
    total: float = 0.0

    def add(self, record: Record) -> None:
        """Count one result."""
        self.triggers += 1
        name = record.verdict.value.lower()
        setattr(self, name, getattr(self, name) + 1)
        spent = sum(record.microseconds.values()) / 1000
        self.shortest = spent if self.triggers == 1 else min(self.shortest, spent)
        self.longest, self.total = max(self.longest, spent), self.total + spent

    def plain(self) -> dict[str, int | float]:
        """Give the numbers."""
        mean = self.total / self.triggers if self.triggers else 0.0
        names = ("since", "triggers", "ok", "ng", "review", "error")
        times = {"longest": self.longest, "shortest": self.shortest, "mean": mean}
        return {name: getattr(self, name) for name in names} | {
            name: round(value, 1) for name, value in times.items()
        }


@dataclass(frozen=True, slots=True)
class Shown:
    """A result on the board, with the bytes of its pictures; at most a dozen are held.

    Attributes:
        record: Without its raw frame.
        receipt: Its number.
        frame: A raw frame, small enough for a screen.
    """

    record: Record
    receipt: Receipt
    frame: UInt8[ndarray, "height width 3"] | None = None

    def plain(self) -> dict[str, Any]:
        """Give it without bytes."""
        more = {
            "stored": self.receipt.stored,
            "has_image": self.record.image is not None or self.frame is not None,
            "has_map": self.record.heat_map is not None,
        }
        return plain(self.record, self.receipt.seq) | more


class Board:
    """Follows a store (`store.listen(board.publish)`); used from one event loop.

    Args:
        latch: Whether an NG stays on the screen until somebody acknowledges it.
    """

    def __init__(self, *, latch: bool = False) -> None:
        self.latch = latch
        self.counters = Counters(_now())
        self.latched: dict[str, Any] | None = None
        self._shown: list[Shown] = []
        self._maps: OrderedDict[str, bytes] = OrderedDict()
        self._changed = asyncio.Event()
        self._listeners = 0
        self._closed = False

    def publish(self, record: Record, receipt: Receipt) -> None:
        """Show a new result."""
        shown = Shown(replace(record, frame=None), receipt, _reduced(record.frame))
        self._shown = [shown, *self._shown[: _SHOWN - 1]]
        self.counters.add(record)
        if self.latch and record.verdict is Verdict.NG:
            self.latched = shown.plain()
        self._wake()

    def keep_map(self, result_id: str, heat_map: bytes) -> None:
        """Hold a map that is not kept on disk, for whoever just tried that picture."""
        self._maps[result_id] = heat_map
        while len(self._maps) > _MAPS:
            self._maps.popitem(last=False)

    def map_of(self, result_id: str) -> bytes | None:
        """Give a map that is held."""
        shown = self.find(result_id)
        if shown is not None and shown.record.heat_map is not None:
            return shown.record.heat_map
        return self._maps.get(result_id)

    def find(self, result_id: str) -> Shown | None:
        """Give a result on the board."""
        return next((one for one in self._shown if one.record.result_id == result_id), None)

    @property
    def newest(self) -> Shown | None:
        """Give the newest result."""
        return self._shown[0] if self._shown else None

    def numbered(self, seq: int) -> Shown | None:
        """Give a result on the board by its number."""
        return next((one for one in self._shown if one.receipt.seq == seq), None)

    def acknowledge(self) -> None:
        """Release the latched NG."""
        self.latched = None
        self._wake()

    def reset(self) -> None:
        """Set the counters to nothing."""
        self.counters = Counters(_now())
        self._wake()

    def close(self) -> None:
        """End all streams, so that the server can end."""
        self._closed = True
        self._wake()

    def plain(self) -> dict[str, Any]:
        """Give everything that the Live screen shows of results, the newest first."""
        return {
            "results": [shown.plain() for shown in self._shown],
            "counters": self.counters.plain(),
            "latched": self.latched,
        }

    async def events(self, extra: Callable[[], dict[str, Any]]) -> AsyncIterator[str]:
        """Give the board as JSON now and after every change; at the latest after some seconds again.

        A listener that is slow misses steps, never the last one: only the newest board is ever sent.

        Args:
            extra: Gives what else the screen shows.
        """
        self._listeners += 1
        try:
            while not self._closed:
                changed = self._changed
                yield json.dumps(self.plain() | extra(), allow_nan=False)
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(changed.wait(), _HEARTBEAT_S)
        finally:
            self._listeners -= 1

    @property
    def crowded(self) -> bool:
        """Whether as many pages listen as may."""
        return self._listeners >= _MOST_LISTENERS

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _reduced(
    frame: UInt8[ndarray, "height width 3"] | None,
) -> UInt8[ndarray, "rows columns 3"] | None:
    """Take every n-th pixel, to last: the frame may be a view of a request's whole body."""
    if frame is None:
        return None
    step = -(-max(frame.shape[:2]) // _LONGEST_SIDE)
    return lasting(frame[::step, ::step])


def _now() -> int:
    return time.time_ns() // 1_000_000
