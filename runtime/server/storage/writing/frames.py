"""Raw frames become lossless pictures behind everything that somebody waits for."""

import logging
import threading
from collections import deque
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
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
        while (numbered := self._next()) is not None:
            self._keep(numbered)

    def _next(self) -> Numbered | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ending)
            return self._waiting.popleft() if self._waiting else None

    def _keep(self, numbered: Numbered) -> None:
        written = None
        try:
            written = self._written(numbered)
        except OSError as error:  # the store's own alarm says what is wrong with the disk
            _LOG.warning("the picture of result %s: %s", numbered.record.result_id, error)
        except Exception:
            _LOG.exception("the picture of result %s", numbered.record.result_id)
        with self._changed:
            self._held -= _size(numbered)
            if written is None:
                self.lost += 1
            else:
                self._done.append(written)

    def _written(self, numbered: Numbered) -> Written:
        record = numbered.record
        assert record.frame is not None
        png = self._encoded(record.frame)
        path, _ = paths_of(replace(record, image=png))
        assert path is not None
        try:
            self._write(path, png)
        except (
            FileNotFoundError
        ):  # the last other picture of its folder went, and the folder with it
            self._write(path, png)
        return Written(numbered.seq, path, len(png))

    def _encoded(self, frame: UInt8[ndarray, "height width 3"]) -> bytes:
        if self._encoder is not None and not self._ending:
            try:
                return self._encoder.encode(frame)
            except OSError as error:
                if not self._ending:
                    _LOG.warning("a picture is made in the server itself: %s", error)
        return frame_png(frame)

    def _write(self, path: str, png: bytes) -> None:
        pictures = PictureBatch(self._root, self._pool)
        pictures.add(path, png)
        try:
            pictures.write()
        except BaseException:
            pictures.undo()
            raise


def _size(numbered: Numbered) -> int:
    return 0 if numbered.record.frame is None else numbered.record.frame.nbytes
