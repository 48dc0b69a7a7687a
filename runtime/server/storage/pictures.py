"""Pictures of results: where they lie, how they get there whole, and what a browser can show of them."""

import io
import os
from collections.abc import Iterable
from concurrent.futures import Executor, wait
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray
from PIL import Image

from vipx.errors import UsageError
from vipx.files import flush_folder, partial_of
from vipx.images import decode_image
from vipx.runtime.server.storage.png import frame_png
from vipx.runtime.server.storage.record import Record

MediaType = Literal["image/png", "image/jpeg", "image/bmp", "image/tiff"]
_KINDS: tuple[tuple[bytes, MediaType, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png", "png"),
    (b"\xff\xd8\xff", "image/jpeg", "jpg"),
    (b"BM", "image/bmp", "bmp"),
    (b"II*\x00", "image/tiff", "tif"),
    (b"MM\x00*", "image/tiff", "tif"),
)
_SPARE_BYTES = 64 * 1024  # of a body beside the only frame in it
_THUMBNAIL = 240  # px of the longer side


def heat_map_png(anomaly_map: Float32[ndarray, "height width"]) -> bytes:
    """Encode a raw map in [0, 1] as an 8-bit grey PNG of its own size; 255 stands for 1."""
    levels = np.rint(np.clip(anomaly_map, 0.0, 1.0) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, format="PNG", compress_level=1)
    return file.getvalue()


def lasting(frame: UInt8[ndarray, "height width 3"]) -> UInt8[ndarray, "height width 3"]:
    """Give pixels that nobody changes any more and that keep little else in memory; if need be, a copy.

    A frame that a client sent is a view of the request's body, which never changes: alone in it, it stays.
    """
    owner: object = frame
    while isinstance(owner, ndarray):
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    stays = isinstance(owner, bytes) and len(owner) - frame.nbytes <= _SPARE_BYTES
    return frame if stays else frame.copy()


def media_type(data: bytes) -> MediaType | None:
    """Say what picture format the bytes begin like; None for anything else, which is never served."""
    return next((kind for start, kind, _ in _KINDS if data.startswith(start)), None)


def for_browser(data: bytes) -> tuple[bytes, MediaType] | None:
    """Give a picture that every browser shows: PNG and JPEG as they are, the others as PNG.

    Raises:
        ImageError: A BMP or TIFF cannot be read.
    """
    kind = media_type(data)
    if kind in (None, "image/png", "image/jpeg"):
        return None if kind is None else (data, kind)
    return frame_png(decode_image(data, name="picture")), "image/png"


def thumbnail(data: bytes) -> bytes:
    """Scale a picture down for a gallery, as JPEG.

    Raises:
        ImageError: It cannot be read.
    """
    return thumbnail_of(decode_image(data, name="picture"))


def thumbnail_of(pixels: UInt8[ndarray, "height width 3"]) -> bytes:
    """Scale pixels down for a gallery, as JPEG."""
    small = Image.fromarray(pixels)
    small.thumbnail((_THUMBNAIL, _THUMBNAIL), reducing_gap=2.0)
    file = io.BytesIO()
    small.save(file, format="JPEG", quality=80)
    return file.getvalue()


def paths_of(record: Record) -> tuple[str | None, str | None]:
    """Say where a record's picture and map belong, relative to the store; None for one that it has not.

    Nothing of the caller's texts enters a path: the time, the verdict and the id make it.
    """
    moment = datetime.fromtimestamp(record.time / 1000, tz=timezone.utc)
    folder = f"data/{moment:%Y/%m/%d}/{record.verdict.value}"
    image = heat_map = None
    if record.image is not None:
        kind = next((end for start, _, end in _KINDS if record.image.startswith(start)), "bin")
        image = f"{folder}/{record.result_id}.{kind}"
    if record.heat_map is not None:
        heat_map = f"{folder}/{record.result_id}.map.png"
    return image, heat_map


class PictureBatch:
    """Files of one commit: each is flushed before it gets its name, each folder once at the end.

    Args:
        root: The store's folder.
        pool: Writes several files at once; a disk flushes many in little more time than one.
    """

    def __init__(self, root: Path, pool: Executor) -> None:
        self._root, self._pool = root, pool
        self._wanted: dict[Path, bytes] = {}
        self._folders: set[Path] = set()

    def add(self, relative: str | None, data: bytes | None) -> None:
        """Take a file; without data there is none to write.

        Raises:
            UsageError: It is there already: another result has the same id.
            OSError: Its folder cannot be made.
        """
        if relative is None or data is None:
            return
        path = self._root / relative
        if path in self._wanted or path.exists():
            raise UsageError(f"{relative}: is there already; every result needs an id of its own")
        self._make_folder(path.parent)
        self._wanted[path] = data

    def write(self) -> None:
        """Write all files, and bring their names to the disk; only then may rows name them.

        Raises:
            OSError: The disk or a folder refuses.
        """
        writing = [self._pool.submit(_write, path, data) for path, data in self._wanted.items()]
        wait(writing)  # all of them, so that `undo` finds what there is
        for one in writing:
            one.result()
        for folder in {path.parent for path in self._wanted} | self._folders:
            flush_folder(folder)

    def undo(self) -> None:
        """Remove what was written, because its rows were not committed."""
        for path in self._wanted:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        self._folders.add(folder.parent)


def _write(path: Path, data: bytes) -> None:
    partial = partial_of(path)
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def remove(root: Path, relatives: Iterable[str]) -> None:
    """Remove files of rows that are gone, and the day folders that this leaves empty."""
    folders: set[Path] = set()
    for relative in relatives:
        path = root / relative
        with suppress(OSError):
            path.unlink(missing_ok=True)
        folders.add(path.parent)
    for folder in folders:
        _remove_empty(folder, root / "data")


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top and folder.is_relative_to(top):
        try:
            folder.rmdir()
        except OSError:  # not empty, or gone already
            return
        folder = folder.parent
