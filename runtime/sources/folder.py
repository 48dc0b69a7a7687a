"""Watches a folder: a picture is taken once it is whole, and never twice."""

import asyncio
import os
import stat
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vipx.errors import InputError, UsageError, VipxError
from vipx.images import is_image_name
from vipx.runtime.sources.source import Deliver, Picture, SourceState

_REMEMBERED = 100_000
_LONGEST_ID = 128


@dataclass(frozen=True, slots=True)
class FolderSettings:
    """Which folder, and what becomes of its pictures.

    Attributes:
        folder: Watched by itself, not its sub-folders.
        name: For results and messages.
        done: Pictures are moved there, into `ok` or, where they could not be inspected, `failed`; None leaves
            them and remembers them.
        interval_s: Between two looks. A file whose size and time were the same in two looks is whole.
        most_bytes: Larger files are not read.
    """

    folder: Path
    name: str = "folder"
    done: Path | None = None
    interval_s: float = 0.2
    most_bytes: int = 64 * 2**20

    def __post_init__(self) -> None:
        if not self.interval_s > 0:
            raise UsageError(f"{self.name}: expected an interval above 0 s, got {self.interval_s}")
        if self.done is not None and self.done.resolve() == self.folder.resolve():
            raise UsageError(f"{self.folder}: pictures cannot be moved into the folder they are in")


@dataclass(frozen=True, slots=True, order=True)
class _Look:
    """What was seen of a file; the same twice means that nobody writes to it any more."""

    changed: int
    size: int
    inode: int


class FolderSource:
    """Delivers the pictures that appear in a folder, the oldest first."""

    def __init__(self, settings: FolderSettings) -> None:
        self._settings = settings
        self._seen: dict[str, _Look] = {}
        self._taken: OrderedDict[str, _Look] = OrderedDict()
        self._alarm: str | None = None
        self._delivered = self._failed = 0

    @property
    def state(self) -> SourceState:
        """Say how it is."""
        return SourceState(
            self._settings.name, "folder", self._alarm, self._delivered, self._failed
        )

    async def run(self, deliver: Deliver) -> None:
        """Deliver pictures until the task is cancelled."""
        while True:
            await self.look(deliver)
            await asyncio.sleep(self._settings.interval_s)

    async def look(self, deliver: Deliver) -> int:
        """Look once and deliver what is whole; gives how many."""
        try:
            found = await asyncio.to_thread(self._found)
        except OSError as error:
            self._alarm = f"{self._settings.folder}: cannot be listed ({error.strerror}); check it"
            return 0
        whole = [name for name, look in found.items() if self._seen.get(name) == look]
        self._seen = found
        self._alarm = None
        for name in sorted(whole, key=lambda name: (found[name].changed, name)):
            await self._take(name, found[name], deliver)
        return len(whole)

    def _found(self) -> dict[str, _Look]:
        """List the pictures that were not taken yet; links, folders, pipes and hidden files are none."""
        found = {}
        with os.scandir(self._settings.folder) as entries:
            for entry in entries:
                if not is_image_name(entry.name):
                    continue
                with suppress(OSError):  # gone, or of somebody else
                    look = _look_at(entry.stat(follow_symlinks=False))
                    if look is not None and self._taken.get(entry.name) != look:
                        found[entry.name] = look
        return found

    async def _take(self, name: str, look: _Look, deliver: Deliver) -> None:
        path = self._settings.folder / name
        try:
            data = await asyncio.to_thread(self._read, path, look)
            if data is None:
                return
            await deliver(Picture(data, _part_of(name), f"folder:{self._settings.name}"))
        except (InputError, OSError) as error:
            self._failed += 1
            self._alarm = f"{name}: {error}"
            await self._settle(path, look, "failed")
        except VipxError as error:  # the server cannot inspect now: the picture waits
            self._alarm = f"{name}: {error}"
        else:
            self._delivered += 1
            await self._settle(path, look, "ok")

    def _read(self, path: Path, look: _Look) -> bytes | None:
        """Read a file; None if it changed since it was looked at, so that it waits for another look."""
        descriptor = os.open(
            path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        )
        with os.fdopen(descriptor, "rb") as file:
            if look.size > self._settings.most_bytes:
                raise InputError(f"has {look.size:,} bytes, at most {self._settings.most_bytes:,}")
            data = file.read(look.size + 1)
            same = _look_at(os.fstat(file.fileno())) == look
        return data if same and len(data) == look.size else None

    async def _settle(self, path: Path, look: _Look, place: str) -> None:
        """Move a picture away, or remember it where it stays."""
        if self._settings.done is not None:
            try:
                await asyncio.to_thread(_move, path, self._settings.done / place)
                return
            except OSError as error:
                self._alarm = f"{path}: cannot be moved ({error.strerror}); it is remembered"
        self._taken[path.name] = look
        while len(self._taken) > _REMEMBERED:
            self._taken.popitem(last=False)


def _look_at(status: os.stat_result) -> _Look | None:
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return None
    return _Look(status.st_mtime_ns, status.st_size, status.st_ino)


def _move(path: Path, folder: Path) -> None:
    """Move within or across disks, never over a file that is there."""
    folder.mkdir(parents=True, exist_ok=True)
    target, number = folder / path.name, 1
    while os.path.lexists(target):
        target = folder / f"{path.stem}-{number}{path.suffix}"
        number += 1
    try:
        path.rename(target)
    except OSError:
        import shutil

        shutil.move(path, target)


def _part_of(name: str) -> str:
    """Make a part's id of a file name: what cannot be shown is escaped."""
    stem = Path(name).stem
    shown = stem if stem.isprintable() else ascii(stem)[1:-1]
    return shown[:_LONGEST_ID]
