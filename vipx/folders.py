"""Folders that exist whole or not at all."""

import glob
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vipx.errors import UsageError
from vipx.files import flush_folder, partial_of, write_error

_PARTIAL = re.compile(r"\.partial-(\d+)-[0-9a-f]{8}$")


@contextmanager
def whole_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path` that becomes `path` when the block ends without error.

    A process killed inside the block leaves no `path`, only a hidden `.NAME.partial-PID-…`, which the next
    writer to the same path removes.

    Raises:
        UsageError: `path` exists, now or at the end, and `overwrite` is false.
        InputError: The place is read-only or not allowed.
        ResourceError: The disk is full or broken.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow a link at the target itself
    if os.path.lexists(path) and not overwrite:
        raise UsageError(f"{path}: already exists; choose another name or pass --overwrite")
    partial = partial_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        partial.mkdir()
        try:
            yield partial
            _flush(partial)
            _put_in_place(partial, path, overwrite=overwrite)
            flush_folder(path.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise write_error(path, error) from error


def _put_in_place(partial: Path, path: Path, *, overwrite: bool) -> None:
    """Rename; an old folder steps aside first, since a folder cannot replace one that holds files."""
    if not os.path.lexists(path):
        partial.rename(path)
        return
    if not overwrite:
        raise UsageError(f"{path}: was written by someone else meanwhile; choose another name")
    aside = partial_of(path)
    path.rename(aside)
    partial.rename(path)
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside)
    else:
        aside.unlink()


def _flush(folder: Path) -> None:
    """Bring contents to the disk before the name: a power cut must not leave a named folder of empty files."""
    for root, _, names in os.walk(folder):
        for name in names:
            with (Path(root) / name).open("rb") as file:
                os.fsync(file.fileno())


def _remove_abandoned(path: Path) -> None:
    """Remove what writers to this path left when they were killed."""
    for leftover in path.parent.glob(f".{glob.escape(path.name[:40])}.partial-*"):
        match = _PARTIAL.search(leftover.name)
        if match and not _alive(int(match[1])):
            shutil.rmtree(leftover, ignore_errors=True)


def _alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # there, os.kill(pid, 0) would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
