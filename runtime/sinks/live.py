"""Live values for a PLC: the newest result, never an old one; what comes too fast is skipped, not queued."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from vipx.runtime.server.storage.record import Receipt, Record
from vipx.runtime.sinks.sink import DeliveryError, SinkState
from vipx.verdict import Verdict

CODES = {Verdict.OK: 0, Verdict.NG: 1, Verdict.REVIEW: 2, Verdict.ERROR: 3}
_RETRY_S = 1.0
_BEAT_S = 1.0


@dataclass(frozen=True, slots=True)
class LineValues:
    """What a PLC sees.

    Attributes:
        ready: Whether a checked engine answers.
        busy: Whether parts wait for it.
        valid: Whether there is a result at all.
        verdict: 0 OK, 1 NG, 2 REVIEW, 3 ERROR; 3 before the first result.
        score: In [0, 1]; -1 where there is none.
        seq: Rises with every result; a PLC waits for it to change.
        part_id: Of the part.
        model: sha256 of the bundle's manifest.
        beat: Rises every second while the server lives.
    """

    ready: bool
    busy: bool
    valid: bool = False
    verdict: int = 3
    score: float = -1.0
    seq: int = 0
    part_id: str = ""
    model: str = ""
    beat: int = 0


@runtime_checkable
class ValueSink(Protocol):
    """Writes values into a PLC."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def kind(self) -> str:
        """`opcua` or `modbus`."""

    async def write(self, values: LineValues) -> None:
        """Write all values, the number of the result last.

        Raises:
            DeliveryError: The PLC did not take them.
        """

    async def close(self) -> None:
        """Disconnect."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the engine answers, and whether parts wait."""

    ready: bool
    busy: bool


class LiveValues:
    """Keeps a PLC up to date (`store.listen(values.publish)`); delays nobody."""

    def __init__(self, sink: ValueSink, readiness: Callable[[], Readiness]) -> None:
        self._sink, self._readiness = sink, readiness
        self._newest: tuple[Record, Receipt] | None = None
        self._changed = asyncio.Event()
        self._alarm: str | None = None
        self._delivered = self._beat = 0

    @property
    def state(self) -> SinkState:
        """Say how the sink is."""
        return SinkState(self._sink.name, self._sink.kind, self._alarm, self._delivered)

    def publish(self, record: Record, receipt: Receipt) -> None:
        """Show a new result, stored or not: the line needs it either way."""
        self._newest = (record, receipt)
        self._changed.set()

    async def run(self) -> None:
        """Write until the task is cancelled; at least every second, so that the PLC sees the beat."""
        try:
            while True:
                await self.write_newest()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), _BEAT_S)
        finally:
            await self._sink.close()

    async def finish(self, within_s: float) -> None:
        """Tell the PLC once more, as the server is not ready any more, and disconnect."""
        with contextlib.suppress(DeliveryError, asyncio.TimeoutError):
            await asyncio.wait_for(self._sink.write(self.values()), within_s)
        await self._sink.close()

    async def write_newest(self) -> None:
        """Write the present values once; a PLC that is away is an alarm, and tried again."""
        self._changed.clear()
        self._beat = (self._beat + 1) % 2**15
        try:
            await self._sink.write(self.values())
        except DeliveryError as error:
            self._alarm = str(error)
            await asyncio.sleep(_RETRY_S)
        else:
            self._alarm = None
            self._delivered += 1

    def values(self) -> LineValues:
        """Give what the PLC is to see now."""
        state = self._readiness()
        if self._newest is None:
            return LineValues(state.ready, state.busy, beat=self._beat)
        record, receipt = self._newest
        return LineValues(
            ready=state.ready,
            busy=state.busy,
            valid=True,
            verdict=CODES[record.verdict],
            score=-1.0 if record.score is None else record.score,
            seq=receipt.seq,
            part_id=record.part_id,
            model=record.identity,
            beat=self._beat,
        )
