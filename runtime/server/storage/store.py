"""The store: what was inspected, kept on this PC; never in the verdict's way."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vipx.errors import ResourceError
from vipx.runtime.server.storage import archive, changes
from vipx.runtime.server.storage.changes import ThresholdChange
from vipx.runtime.server.storage.reader import Filter, Reader, ThresholdVersion
from vipx.runtime.server.storage.record import Label, Receipt, Record, Result
from vipx.runtime.server.storage.settings import StorageSettings
from vipx.runtime.server.storage.writing.claim import FolderClaim
from vipx.runtime.server.storage.writing.disk import Measure, disk_space
from vipx.runtime.server.storage.writing.png_process import PngProcess
from vipx.runtime.server.storage.writing.writer import Change, Job, Writer

Listener = Callable[[Record, Receipt], None]


class StorageStoppedError(ResourceError):
    """A result could not be stored, and the settings say that such a part must not pass."""


@dataclass(frozen=True, slots=True)
class StorageState:
    """How the store is.

    Attributes:
        stored: Whether results are being stored.
        alarm: Why not, and what to do; None where all is well.
        free_bytes: Of the disk; None if it cannot be measured.
        waiting: Results that wait to be written.
        folder: Where it is.
        frames_lost: Raw frames that came too fast, or that the disk refused; their rows have no picture.
    """

    stored: bool
    alarm: str | None
    free_bytes: int | None
    waiting: int
    folder: Path
    frames_lost: int = 0


class Store:
    """Keeps results. One event loop uses it; reading and writing happen on other threads.

    Example:
        store = Store(StorageSettings(Path("/var/lib/vipx")))
        await store.start()
        receipt = await store.append(record)  # receipt.seq, receipt.stored
        await store.close()
    """

    def __init__(
        self,
        settings: StorageSettings,
        sinks: Collection[str] = (),
        measure: Measure = disk_space,
        encoder: PngProcess | None = None,
    ) -> None:
        """Prepare a store.

        Args:
            settings: Where, and how long.
            sinks: Names whose outbox gets a message for every stored result.
            measure: How the room on the disk is found.
            encoder: Makes the PNGs of raw frames; without one they are made in this process.
        """
        self.settings, self._measure = settings, measure
        self.reader = Reader(settings.folder, settings.busy_ms)
        self._writer = Writer(settings, sinks, measure, encoder)
        self._claim = FolderClaim(settings.folder)
        self._listeners: list[Listener] = []
        self._appending: set[asyncio.Future[Receipt]] = set()

    async def start(self) -> None:
        """Open the folder; one that cannot be written is an alarm, and heals by itself later.

        Raises:
            UsageError: Another server stores here.
            ArtifactError: A newer vipx wrote the database.
        """
        self._claim.take()
        try:
            await asyncio.to_thread(self._writer.start)
        except BaseException:
            self._claim.let_go()
            raise

    async def close(self) -> None:
        """Write what waits, and close."""
        if self._appending:
            await asyncio.wait(self._appending)
        await asyncio.to_thread(self._writer.close)
        self._claim.let_go()

    def listen(self, listener: Listener) -> None:
        """Call `listener(record, receipt)` for every result, stored or not, on the event loop.

        It must return at once; what it raises is our bug and reaches whoever appended.
        """
        self._listeners.append(listener)

    async def append(self, record: Record) -> Receipt:
        """Store a result; answered once it is committed, or known not to be.

        A caller that goes away meanwhile does not undo it.

        Raises:
            StorageStoppedError: It is not stored, and the settings say `on_error = stop`.
        """
        loop = asyncio.get_running_loop()
        job = Job(record=record, seq=self._writer.numbers.give())
        answer: asyncio.Future[Receipt] = loop.create_future()
        self._appending.add(answer)
        answer.add_done_callback(self._appending.discard)
        timer = loop.call_later(self.settings.patience_s, self._give_up, record, job.seq, answer)
        answer.add_done_callback(lambda _: timer.cancel())
        job.done.add_done_callback(
            lambda done: loop.call_soon_threadsafe(self._hear, record, done, answer)
        )
        if not self._writer.put(job):
            self._tell(record, Receipt(job.seq, stored=False), answer)
        receipt = await asyncio.shield(answer)
        if not receipt.stored and self.settings.on_error == "stop":
            raise StorageStoppedError(self.state().alarm or f"{self.settings.folder}: not stored")
        return receipt

    def _give_up(self, record: Record, seq: int, answer: "asyncio.Future[Receipt]") -> None:
        if answer.done():  # it came in the same turn of the loop
            return
        self._writer.alarm = f"{self.settings.folder}: the disk does not answer; check it"
        self._tell(record, Receipt(seq, stored=False), answer)

    def _hear(
        self, record: Record, done: "Future[Receipt]", answer: "asyncio.Future[Receipt]"
    ) -> None:
        error = done.exception()
        if error is None:
            self._tell(record, done.result(), answer)
        elif not answer.done():
            answer.set_exception(error)

    def _tell(self, record: Record, receipt: Receipt, answer: "asyncio.Future[Receipt]") -> None:
        if answer.done():
            return
        try:
            for listener in self._listeners:
                listener(record, receipt)
        except Exception as error:
            answer.set_exception(error)
        else:
            answer.set_result(receipt)

    def state(self) -> StorageState:
        """Say how the store is, without touching the database."""
        try:
            free: int | None = self._measure(self.settings.folder).free
        except OSError:
            free = None
        alarm, writer = self._writer.alarm, self._writer
        return StorageState(
            alarm is None, alarm, free, writer.waiting, self.settings.folder, writer.frames.lost
        )

    async def find(self, wanted: Filter, limit: int = 60) -> list[Result]:
        """Give the newest results that fit."""
        return await asyncio.to_thread(self.reader.find, wanted, limit)

    async def get(self, result_id: str) -> Result | None:
        """Give one result."""
        return await asyncio.to_thread(self.reader.get, result_id)

    async def set_review(self, result_id: str, label: Label | None, who: str) -> None:
        """Set what a person says of a verdict, with an entry in the audit.

        Raises:
            UsageError: There is no such label.
            ResultNotFoundError: There is no such result.
            ResourceError: It cannot be written.
        """
        await self._change(partial(changes.label_result, result_id=result_id, label=label, who=who))

    async def set_calibration(self, result_id: str, picked: bool, who: str) -> None:
        """Put a result into the calibration set, or take it out.

        Raises:
            ResultNotFoundError: There is no such result.
            ResourceError: It cannot be written.
        """
        await self._change(
            partial(changes.pick_for_calibration, result_id=result_id, picked=picked, who=who)
        )

    async def audit(self, who: str, action: str, subject: str, detail: str = "") -> None:
        """Write down who did what.

        Raises:
            ResourceError: It cannot be written.
        """
        await self._change(
            partial(changes.write_audit, who=who, action=action, subject=subject, detail=detail)
        )

    async def save_thresholds(self, change: ThresholdChange) -> ThresholdVersion:
        """Save thresholds as a new version, with an entry in the audit.

        Raises:
            VersionConflictError: Somebody else saved one meanwhile.
            ResourceError: It cannot be written.
        """
        version: ThresholdVersion = await self._change(
            partial(changes.save_thresholds, change=change)
        )
        return version

    async def withdraw_thresholds(self, version: ThresholdVersion, reason: str) -> None:
        """Mark a saved version as not in force."""
        await self._change(partial(changes.withdraw_thresholds, version=version, reason=reason))

    async def thresholds_of(self, recipe: str, applies_to: str = "") -> ThresholdVersion | None:
        """Give the newest version that somebody saved for a recipe as it was calibrated, if any."""
        versions = await asyncio.to_thread(self.reader.versions, recipe)
        mine = (one for one in versions if not one.withdrawn and one.applies_to == applies_to)
        return max(mine, key=lambda version: version.version, default=None)

    async def remove_messages(self, numbers: Sequence[int]) -> None:
        """Remove messages that a sink delivered."""
        await self._change(partial(changes.remove_messages, numbers=numbers))

    def export_csv(self, wanted: Filter) -> Iterator[bytes]:
        """Give a CSV file in pieces; to be iterated off the event loop."""
        return archive.csv_chunks(self.reader.each(wanted))

    def export_zip(self, wanted: Filter) -> Iterator[bytes]:
        """Give a zip of pictures and a table in pieces; to be iterated off the event loop."""
        return archive.zip_chunks(self.reader.each(wanted), self.settings.folder)

    async def _change(self, change: Change) -> Any:  # noqa: ANN401 - whatever the change gives
        job = Job(change=change)
        if not self._writer.put(job):
            raise ResourceError(f"{self._writer.alarm}")
        return await asyncio.shield(asyncio.wrap_future(job.done))
