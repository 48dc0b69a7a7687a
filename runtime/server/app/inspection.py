"""The one way in which a picture is inspected, counted and recorded, whoever sent it."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from vipx.errors import ImageError
from vipx.runtime.server.app.counters import Counters, Failure, ModelCounters
from vipx.runtime.server.protocol.models import ENCODED
from vipx.runtime.server.settings import KeepMaps
from vipx.runtime.server.storage.pictures import heat_map_png
from vipx.runtime.server.storage.record import Receipt, Record, new_result_id
from vipx.runtime.server.work.faults import EngineDown, QueueFull, TooLate
from vipx.runtime.server.work.recipes import RecipeInfo
from vipx.runtime.server.work.task import Outcome, Task, wants_map
from vipx.verdict import Verdict


@runtime_checkable
class WorkState(Protocol):
    """What the server says of its engine."""

    @property
    def ready(self) -> bool:
        """Whether a checked engine answers."""

    @property
    def degraded(self) -> str | None:
        """Why the fallback engine answers."""

    @property
    def queued(self) -> int:
        """Images that wait."""

    @property
    def restarts(self) -> int:
        """How often the engine was lost."""


@runtime_checkable
class Work(Protocol):
    """What inspects: `vipx.runtime.server.work.pool.Pool`."""

    async def inspect(self, task: Task) -> Outcome:
        """Inspect one image."""

    @property
    def recipes(self) -> Sequence[RecipeInfo]:
        """What can be asked for."""

    @property
    def state(self) -> WorkState:
        """How it is."""


@runtime_checkable
class Results(Protocol):
    """What keeps results: `vipx.runtime.server.storage.store.Store`."""

    async def append(self, record: Record) -> Receipt:
        """Keep one result and number it."""


@dataclass(frozen=True, slots=True)
class Inspecting:
    """What an inspection needs.

    Attributes:
        work: Inspects.
        results: Keeps.
        counters: Counts.
        keep_maps: Of which results the heat map is kept.
        ending: Set once the server is told to end: it is not ready then, and answers what it has accepted.
    """

    work: Work
    results: Results
    counters: Counters = field(default_factory=Counters)
    keep_maps: KeepMaps = "not-ok"
    ending: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ready(self) -> bool:
        """Whether it is worth asking now."""
        return self.work.state.ready and not self.ending.is_set()


@dataclass(frozen=True, slots=True)
class Recorded:
    """An inspection and its number.

    Attributes:
        task: What was asked.
        outcome: What came out; its map is there only if the task asked for it, or it was kept.
        result_id: ULID.
        seq: Rises with every inspection.
        stored: Whether it is on the disk; otherwise it lives in this answer alone.
    """

    task: Task
    outcome: Outcome
    result_id: str
    seq: int
    stored: bool


async def inspect_and_record(inspecting: Inspecting, task: Task, *, source: str) -> Recorded:
    """Inspect one image, keep the result, and give both; an answer is given only after it was committed.

    Args:
        inspecting: What it needs.
        task: The image and whose recipe judges it.
        source: Where the image came from: `http`, `page`, `folder:NAME`, `camera:NAME`.

    Raises:
        WorkError: It was not inspected: the queue is full, it waited too long, no engine or no recipe.
        ImageError: The picture cannot be read.
        ResourceError: It could not be stored, and the settings say that then no part is answered.
    """
    return (await inspect_batch(inspecting, [task], source=source))[0]


async def inspect_batch(
    inspecting: Inspecting, tasks: Sequence[Task], *, source: str
) -> tuple[Recorded, ...]:
    """Inspect the images of one request, in order and one after the other; it counts as one.

    Args:
        inspecting: What it needs.
        tasks: At least one, all for one recipe.
        source: Where the images came from.

    Raises:
        WorkError: One of them was not inspected; nothing is answered then.
        ImageError: A picture cannot be read.
        ResourceError: As in `inspect_and_record`.
    """
    started = time.perf_counter()
    with inspecting.counters.pending(_model_of(tasks[0])) as counts:
        try:
            recorded = [await _inspect(inspecting, task, source, counts) for task in tasks]
        except BaseException as error:
            counts.add_failure(_failure(error), time.perf_counter() - started)
            raise
        seconds = time.perf_counter() - started
        if any(one.outcome.verdict is Verdict.ERROR for one in recorded):
            counts.add_failure("BACKEND", seconds)
        else:
            counts.add_success(seconds)
    return tuple(recorded)


async def _inspect(
    inspecting: Inspecting, task: Task, source: str, counts: ModelCounters
) -> Recorded:
    maps = inspecting.keep_maps if task.maps == "none" else "all"
    outcome = await inspecting.work.inspect(replace(task, maps=maps))
    counts.add_outcome(outcome)
    record = await _record_of(inspecting, task, outcome, source)
    receipt = await inspecting.results.append(record)
    return Recorded(task, outcome, record.result_id, receipt.seq, receipt.stored)


async def _record_of(inspecting: Inspecting, task: Task, outcome: Outcome, source: str) -> Record:
    heat_map = None
    if outcome.anomaly_map is not None and wants_map(inspecting.keep_maps, outcome.verdict):
        heat_map = await asyncio.to_thread(heat_map_png, outcome.anomaly_map)
    return Record(
        result_id=new_result_id(),
        time=time.time_ns() // 1_000_000,
        recipe=task.recipe,
        part_id=task.part_id,
        verdict=outcome.verdict,
        score=outcome.score,
        threshold=outcome.threshold,
        review=outcome.review,
        reason=outcome.reason,
        regions=outcome.regions,
        microseconds=outcome.microseconds,
        source=source,
        image=task.image if isinstance(task.image, bytes) else None,
        frame=None if isinstance(task.image, bytes) else task.image,
        heat_map=heat_map,
        engine=outcome.engine,
        identity=outcome.identity,
    )


def _model_of(task: Task) -> str:
    return task.recipe + (ENCODED if isinstance(task.image, bytes) else "")


def _failure(error: BaseException) -> Failure:
    if isinstance(error, (QueueFull, TooLate)):
        return "REJECTED"
    if isinstance(error, asyncio.CancelledError):
        return "CANCELED"
    if isinstance(error, EngineDown):
        return "BACKEND"
    return "OTHER" if isinstance(error, ImageError) else "BACKEND"
