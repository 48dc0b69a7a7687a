"""Watches a folder: a picture is taken once it is whole, and never twice."""

import asyncio
import os
import stat
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vipx.errors import ImageError, InputError, UsageError, VipxError
from vipx.images import is_image_name
from vipx.runtime.server.completion import completed
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
        unreadable_s: A picture that cannot be read is tried again once it stood still for so long: whoever
            writes it may have paused.
    """

    folder: Path
    name: str = "folder"
    done: Path | None = None
    interval_s: float = 0.2
    most_bytes: int = 64 * 2**20
    unreadable_s: float = 5.0

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
        self._doubtful: dict[str, tuple[_Look, float]] = {}
        self._taken: OrderedDict[str, _Look] = OrderedDict()
        self._alarm: str | None = None
        self._trouble: str | None = None  # of the last picture
        self._delivered = self._failed = 0

    @property
    def state(self) -> SourceState:
        """Say how it is."""
        alarm = self._alarm or self._trouble
        return SourceState(self._settings.name, "folder", alarm, self._delivered, self._failed)

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
        whole = [
            name
            for name, look in found.items()
            if self._seen.get(name) == look and not self._is_waited_for(name, look)
        ]
        self._seen = found
        self._doubtful = {name: one for name, one in self._doubtful.items() if name in found}
        self._alarm = None
        for name in sorted(whole, key=lambda name: (found[name].changed, name)):
            # A picture that is being inspected is also set aside: else the next start would inspect it again.
            if not await completed(self._take(name, found[name], deliver)):
                break
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

    async def _take(self, name: str, look: _Look, deliver: Deliver) -> bool:
        """Inspect a picture and set it aside; False if the server inspects nothing now and all have to wait."""
        path = self._settings.folder / name
        try:
            data = await asyncio.to_thread(self._read, path, look)
            if data is None:
                return True
            await deliver(Picture(data, _part_of(name), f"folder:{self._settings.name}"))
        except FileNotFoundError:
            return True  # somebody took it away
        except ImageError as error:
            await self._doubt(path, look, error)
        except (InputError, OSError) as error:
            await self._give_up(path, look, error)
        except VipxError as error:
            self._trouble = f"{ascii(name)[1:-1]} waits: {error}"
            return False
        else:
            self._delivered += 1
            self._trouble = None
            await self._settle(path, look, "ok")
        return True

    async def _doubt(self, path: Path, look: _Look, error: ImageError) -> None:
        """Wait for the rest of a picture that cannot be read; after a while there is none."""
        doubted = self._doubtful.pop(path.name, None)
        if self._settings.unreadable_s > 0 and (doubted is None or doubted[0] != look):
            self._doubtful[path.name] = (look, time.monotonic() + self._settings.unreadable_s)
        else:
            await self._give_up(path, look, error)

    def _is_waited_for(self, name: str, look: _Look) -> bool:
        doubted = self._doubtful.get(name)
        return doubted is not None and doubted[0] == look and time.monotonic() < doubted[1]

    async def _give_up(self, path: Path, look: _Look, error: Exception) -> None:
        self._failed += 1
        self._trouble = f"{ascii(path.name)[1:-1]}: {error}"
        await self._settle(path, look, "failed")

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
                self._trouble = f"{path}: cannot be moved ({error.strerror}); it is remembered"
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
