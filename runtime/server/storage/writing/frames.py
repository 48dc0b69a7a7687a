"""Raw frames become lossless pictures behind everything that somebody waits for."""

import logging
import threading
from collections import deque
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

from jaxtyping import UInt8
from numpy import ndarray

from vipx.runtime.server.storage.pictures import PictureBatch, lasting, paths_of
from vipx.runtime.server.storage.png import frame_png
from vipx.runtime.server.storage.record import Record
from vipx.runtime.server.storage.writing.png_process import PngProcess
from vipx.verdict import Verdict

_LOG = logging.getLogger("vipx.server")
_MOST_BYTES: Final = 128 * 2**20
_TOGETHER_S: Final = 0.5
_TOGETHER_BYTES: Final = 16 * 2**20


class Numbered(NamedTuple):
    """A record, and the number of its row."""

    record: Record
    seq: int


class Written(NamedTuple):
    """A picture that is on the disk, whole, and that no row names yet.

    Attributes:
        seq: Of the row.
        path: Relative to the store's folder.
        size: Its bytes.
    """

    seq: int
    path: str
    size: int


class FrameKeeper:
    """Encodes and writes the frames of results whose rows are committed; what comes too fast has no picture.

    No row is held up by a picture, its own or another's: 12 megapixels take 0.4 s, and a disk flushes when it
    likes. Under pressure the frames of OK parts go first.

    Args:
        root: The store's folder.
        pool: Flushes files.
        encoder: Makes PNGs beside everything else; without one they are made here.
        most_bytes: Of all frames that wait.
    """

    def __init__(
        self,
        root: Path,
        pool: Executor,
        encoder: PngProcess | None = None,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        self._root, self._pool, self._most = root, pool, most_bytes
        self._encoder = encoder
        self._waiting: deque[Numbered] = deque()
        self._done: list[Written] = []
        self._held = 0
        self._ending = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self.lost = 0

    def offer(self, record: Record, seq: int) -> None:
        """Take the frame of a committed result, for `begin`; what somebody may change later is copied."""
        if record.frame is None:
            return
        with self._changed:
            if not self._has_room(record.frame.nbytes, record.verdict):
                self.lost += 1
                return
            self._waiting.append(Numbered(replace(record, frame=lasting(record.frame)), seq))
            self._held += record.frame.nbytes

    def begin(self) -> None:
        """Make the pictures of what was offered; until then, nobody's processor time is taken."""
        with self._changed:
            if self._waiting:
                self._start()
                self._changed.notify()

    def take(self) -> list[Written]:
        """Give the pictures that were written since the last call; their rows are to name them now."""
        with self._changed:
            done, self._done = self._done, []
        return done

    def finish(self) -> None:
        """Write what waits, and end."""
        with self._changed:
            self._ending = True
            if self._waiting:
                self._start()
            self._changed.notify()
        if self._encoder is not None:
            self._encoder.kill()  # somebody waits now
        if self._thread is not None:
            self._thread.join()
        if self._encoder is not None:
            self._encoder.close()

    def _has_room(self, size: int, verdict: Verdict) -> bool:
        if verdict is not Verdict.OK:
            good = [one for one in self._waiting if one.record.verdict is Verdict.OK]
            while good and self._held + size > self._most:
                self._waiting.remove(good[0])
                self._held -= _size(good.pop(0))
                self.lost += 1
        return self._held + size <= self._most

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="vipx-frames", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        batch = _Batch()
        while (numbered := self._next(batch.due)) is not None or not self._is_done:
            if numbered is not None and (made := self._made(numbered)) is not None:
                batch.add(made)
            if batch.is_due():
                self._write_together(batch.take())
        self._write_together(batch.take())

    @property
    def _is_done(self) -> bool:
        with self._changed:
            return self._ending and not self._waiting

    def _next(self, due: float | None) -> Numbered | None:
        """Wait for a frame; None at the time that is due, and at the end."""
        patience = None if due is None else max(0.0, due - monotonic())
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ending, patience)
            return self._waiting.popleft() if self._waiting else None

    def _made(self, numbered: Numbered) -> "_Made | None":
        record = numbered.record
        assert record.frame is not None
        try:
            png = self._encoded(record.frame)
            path, _ = paths_of(replace(record, image=png))
            assert path is not None
        except Exception:
            _LOG.exception("the picture of result %s", record.result_id)
            self._end([record.frame.nbytes], [])
            return None
        written = Written(numbered.seq, path, len(png))
        return _Made(record.result_id, record.frame.nbytes, png, written)

    def _write_together(self, made: list["_Made"]) -> None:
        if not made:
            return
        try:
            self._write(made)
        except Exception:  # one of them is at fault, or a folder went with its last other picture
            for one in made:
                self._write_alone(one)
        else:
            self._end([one.held for one in made], [one.written for one in made])

    def _write_alone(self, made: "_Made") -> None:
        written: list[Written] = []
        try:
            self._write([made])
            written = [made.written]
        except OSError as error:  # the store's own alarm says what is wrong with the disk
            _LOG.warning("the picture of result %s: %s", made.result_id, error)
        except Exception:
            _LOG.exception("the picture of result %s", made.result_id)
        self._end([made.held], written)

    def _end(self, held: list[int], written: list[Written]) -> None:
        with self._changed:
            self._held -= sum(held)
            self.lost += len(held) - len(written)
            self._done += written

    def _encoded(self, frame: UInt8[ndarray, "height width 3"]) -> bytes:
        if self._encoder is not None and not self._ending:
            try:
                return self._encoder.encode(frame)
            except OSError as error:
                if not self._ending:
                    _LOG.warning("a picture is made in the server itself: %s", error)
        return frame_png(frame)

    def _write(self, made: list["_Made"]) -> None:
        pictures = PictureBatch(self._root, self._pool)
        try:
            for one in made:
                pictures.add(one.written.path, one.png)
            pictures.write()
        except BaseException:
            pictures.undo()
            raise


class _Made(NamedTuple):
    """A picture that is made and not yet written; its frame's bytes count as held until it is."""

    result_id: str
    held: int
    png: bytes
    written: Written


class _Batch:
    """Pictures that are written together: each write of its own would cost the disk and the front more."""

    def __init__(self) -> None:
        self._made: list[_Made] = []
        self.due: float | None = None

    def add(self, made: _Made) -> None:
        self._made.append(made)
        if self.due is None:
            self.due = monotonic() + _TOGETHER_S

    def is_due(self) -> bool:
        size = sum(len(one.png) for one in self._made)
        return size > _TOGETHER_BYTES or (self.due is not None and monotonic() >= self.due)

    def take(self) -> list[_Made]:
        made, self._made, self.due = self._made, [], None
        return made


def _size(numbered: Numbered) -> int:
    return 0 if numbered.record.frame is None else numbered.record.frame.nbytes
