"""Files that exist whole or not at all."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from vipx.errors import InputError, ResourceError

__all__ = ["flush_folder", "partial_of", "whole_file", "write_atomically", "write_error"]

# The disk, not the path, is at fault: another path on it would not help.
_RESOURCES = frozenset(
    getattr(errno, name)
    for name in ("EDQUOT", "EFBIG", "EIO", "EMFILE", "ENFILE", "ENOMEM", "ENOSPC", "ETIMEDOUT")
    if hasattr(errno, name)
)


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path`; even after a power cut there is the old file or the new one.

    Raises:
        InputError: the folder is missing, read-only or not allowed, or `path` is a folder.
        ResourceError: the disk is full or broken.
    """
    with whole_file(path) as file:
        file.write(data)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that becomes `path` when the block ends without error, and vanishes otherwise.

    It lies beside `path` as a hidden `.NAME.partial-PID-...`. A process that is killed within the
    block leaves it behind and `path` as it was. A link at `path` is replaced, not followed.

    Raises:
        InputError: the folder is missing, read-only or not allowed, or `path` is a folder.
        ResourceError: the disk is full or broken.
    """
    if not path.name:
        raise InputError(f"{path}: cannot be written (this is a folder); give a file name")
    partial = partial_of(path)
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with suppress(OSError):  # the file's own error, if any, is the one to report
            partial.unlink(missing_ok=True)


def partial_of(path: Path) -> Path:
    """Give a name beside `path` for what is not whole yet: `.NAME.partial-PID-TOKEN`, NAME cut short."""
    # The whole of a long name would exceed the 255 bytes allowed.
    return path.with_name(f".{path.name[:40]}.partial-{os.getpid()}-{uuid.uuid4().hex[:8]}")


def flush_folder(folder: Path) -> None:
    """Bring the new name to the disk. Windows cannot open a folder, and needs no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_error(path: Path, error: OSError) -> InputError | ResourceError:
    """Say why `path` could not be written: the disk's fault, or the place's."""
    name = str(path) if str(path).isprintable() else ascii(str(path))
    reason = error.strerror or str(error)
    if error.errno in _RESOURCES:
        return ResourceError(f"{name}: cannot be written ({reason}); free or check the disk")
    return InputError(f"{name}: cannot be written ({reason}); choose another place")
