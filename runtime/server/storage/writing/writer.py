"""The one thread that writes: files first, then their rows, many results in one commit."""

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from vipx.errors import ArtifactError, ResourceError, UsageError
from vipx.runtime.server.storage import database, rows
from vipx.runtime.server.storage.pictures import PictureBatch, remove
from vipx.runtime.server.storage.record import Receipt, Record
from vipx.runtime.server.storage.settings import StorageSettings
from vipx.runtime.server.storage.writing.disk import Measure, disk_space, shortage
from vipx.runtime.server.storage.writing.frames import FrameKeeper
from vipx.runtime.server.storage.writing.numbers import Numbers
from vipx.runtime.server.storage.writing.png_process import PngProcess
from vipx.runtime.server.storage.writing.retention import remove_orphans, sweep_step
from vipx.verdict import Verdict

Change = Callable[[sqlite3.Connection], Any]
# What the disk, the folder or another program does to us. Anything else is our bug and reaches the caller.
_FAULTS = (OSError, sqlite3.DatabaseError, ArtifactError)
_RETRY_S = 1.0
_TICK_S = 0.5
_FILES_AT_ONCE = 8


@dataclass(slots=True)
class Job:
    """Something for the writer: a record with its number, or a change of rows."""

    record: Record | None = None
    seq: int = 0
    change: Change | None = None
    done: "Future[Any]" = field(default_factory=Future)


class Writer:
    """Writes what it is given, in order. A fault is an alarm; the next attempt may heal it."""

    def __init__(
        self,
        settings: StorageSettings,
        sinks: Collection[str] = (),
        measure: Measure = disk_space,
        encoder: PngProcess | None = None,
    ) -> None:
        self._settings, self._sinks, self._measure = settings, tuple(sinks), measure
        self.numbers = Numbers()
        self.alarm: str | None = None
        self._jobs: queue.Queue[Job | None] = queue.Queue(settings.pending)
        self._connection: sqlite3.Connection | None = None
        self._refused: tuple[Record, int] | None = None
        self._retry_at = self._sweep_at = 0.0
        self._seen = {True: 0, False: 0}
        self._pool = ThreadPoolExecutor(_FILES_AT_ONCE, "vipx-pictures")
        self.frames = FrameKeeper(settings.folder, self._pool, encoder)
        self._thread = threading.Thread(target=self._run, name="vipx-storage", daemon=True)

    def start(self) -> None:
        """Open the database and start the thread; a disk that refuses is an alarm, not an error.

        Raises:
            ArtifactError: A newer vipx wrote the database.
        """
        try:
            self._opened()
        except (OSError, sqlite3.DatabaseError) as error:
            self._fail(error)
            self.numbers.load_readonly(self._settings.folder / database.NAME)
        self._thread.start()

    def put(self, job: Job) -> bool:
        """Hand over a job without waiting; False if too many wait."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self.alarm = f"{self._settings.folder}: the disk is too slow; check it, or keep less"
            return False
        return True

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return self._jobs.qsize()

    def close(self) -> None:
        """Write what waits, then end the thread and close the database."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        going_on = True
        while going_on:
            jobs, going_on = self._collect()
            self._store([job for job in jobs if job.record is not None])
            for job in jobs:
                if job.change is not None:
                    self._change(job, job.change)
            self._name_frames()
            self._look_after()
        self.frames.finish()
        self._name_frames()
        self._end()

    def _collect(self) -> tuple[list[Job], bool]:
        """Wait for a job and take all that came meanwhile; False behind the last one of all."""
        jobs: list[Job] = []
        try:
            job = self._jobs.get(timeout=_TICK_S)
            while job is not None:
                jobs.append(job)
                job = self._jobs.get_nowait()
        except queue.Empty:
            return jobs, True
        return jobs, False

    def _store(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        try:
            stored = self._may_write() and self._committed(jobs)
        except Exception as error:
            if len(jobs) > 1:  # one record is at fault: the others must not suffer
                for job in jobs:
                    self._store([job])
            else:
                jobs[0].done.set_exception(error)
            return
        for job in jobs:
            job.done.set_result(Receipt(job.seq, stored))
        self.frames.begin()  # nobody waits for the picture

    def _may_write(self) -> bool:
        short = shortage(self._settings, self._measure)
        if short is not None:
            self.alarm = short
        return short is None and time.monotonic() >= self._retry_at

    def _committed(self, jobs: list[Job]) -> bool:
        kept = [(self._sampled(job.record), job.seq) for job in jobs if job.record]
        try:
            self._commit(kept)
        except sqlite3.IntegrityError as error:
            raise UsageError(f"a result cannot be stored: {error}") from error
        except _FAULTS as error:
            self._fail(error)
            self._refused = kept[0]
            return False
        self.alarm = self._refused = None
        for record, seq in kept:
            self.frames.offer(record, seq)
        return True

    def _name_frames(self) -> None:
        """Name the pictures of raw frames in their rows; a picture that no row can name is removed."""
        written = self.frames.take()
        if not written:
            return
        try:
            with _transaction(connection := self._opened()):
                gone = [
                    one.path
                    for one in written
                    if not rows.add_picture(connection, one.seq, one.path, one.size)
                ]
        except _FAULTS as error:
            gone = [one.path for one in written]
            self.frames.lost += len(gone)
            self._fail(error)
        remove(self._settings.folder, gone)

    def _commit(self, kept: list[tuple[Record, int]]) -> None:
        connection = self._opened()
        values = [rows.row_of(record, seq) for record, seq in kept]
        pictures = PictureBatch(self._settings.folder, self._pool)
        try:
            _write_pictures(pictures, kept, values)
            with _transaction(connection):
                connection.executemany(rows.INSERT, values)
                self._put_in_outbox(connection, kept)
                self.numbers.reserve(connection)
        except BaseException:
            pictures.undo()
            raise

    def _rehearse(self, connection: sqlite3.Connection) -> None:
        """Write a row, and a refused result's pictures to remove them again: reading proves nothing."""
        with _transaction(connection):
            self.numbers.stir(connection)
        if self._refused is None:
            return
        pictures = PictureBatch(self._settings.folder, self._pool)
        try:
            _write_pictures(pictures, [self._refused], [rows.row_of(*self._refused)])
        except UsageError as error:  # it lies there still: it could not be removed either
            raise OSError(str(error)) from error
        finally:
            pictures.undo()
        self._refused = None

    def _put_in_outbox(
        self, connection: sqlite3.Connection, kept: list[tuple[Record, int]]
    ) -> None:
        messages = [
            (sink, record.result_id, rows.message_of(record, seq))
            for record, seq in kept
            for sink in self._sinks
        ]
        insert = "INSERT INTO outbox (sink, result_id, message) VALUES (?, ?, ?)"
        connection.executemany(insert, messages)

    def _sampled(self, record: Record) -> Record:
        """Leave out the pictures of all but one in so many results of its kind."""
        good = record.verdict is Verdict.OK
        rule = self._settings.ok if good else self._settings.ng
        self._seen[good] += 1
        if (self._seen[good] - 1) % rule.sample == 0:
            return record
        return replace(record, image=None, frame=None, heat_map=None)

    def _change(self, job: Job, change: Change) -> None:
        try:
            connection = self._opened()
            with _transaction(connection):
                value = change(connection)
        except (OSError, sqlite3.DatabaseError) as error:
            self._fail(error)
            job.done.set_exception(ResourceError(f"{self.alarm}"))
        except Exception as error:
            job.done.set_exception(error)
        else:
            job.done.set_result(value)

    def _look_after(self) -> None:
        """Between two batches: see whether a fault has healed, and keep to the retention rules."""
        now = time.monotonic()
        if now < self._retry_at or (self.alarm is None and now < self._sweep_at):
            return
        try:
            connection = self._opened()
            if not sweep_step(connection, self._settings):
                self._sweep_at = now + self._settings.sweep_s
            self.numbers.reserve(connection)
            short = shortage(self._settings, self._measure)
            if self.alarm is not None and short is None:
                self._rehearse(connection)
            self.alarm = short
        except _FAULTS as error:
            self._fail(error)
        if self.alarm is not None:
            self._retry_at = max(self._retry_at, now + _RETRY_S)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            settings = self._settings
            settings.folder.mkdir(parents=True, exist_ok=True)
            connection = database.connect(
                settings.folder / database.NAME,
                busy_ms=settings.busy_ms,
                full_sync=settings.full_sync,
            )
            self.numbers.load(connection)
            self.numbers.reserve(connection)
            remove_orphans(connection, settings.folder)
            self._connection = connection
        return self._connection

    def _fail(self, error: Exception) -> None:
        """Tell the fault, and leave the disk alone for a moment: each attempt may take as long as it waits."""
        self.alarm = f"{self._settings.folder}: results are not stored ({error}); check the disk"
        self._retry_at = time.monotonic() + _RETRY_S

    def _end(self) -> None:
        self._pool.shutdown()
        if self._connection is None:
            return
        with suppress(sqlite3.Error):  # nothing more can be done, and the numbers stay reserved
            self.numbers.release(self._connection)
        self._connection.close()


def _write_pictures(
    pictures: PictureBatch, kept: list[tuple[Record, int]], values: list[dict[str, Any]]
) -> None:
    for (record, _), row in zip(kept, values, strict=True):
        pictures.add(row["image"], record.image)
        pictures.add(row["heat_map"], record.heat_map)
    pictures.write()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite has rolled back already, as on a full disk
            connection.execute("ROLLBACK")
        raise
