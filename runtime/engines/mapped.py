"""Lets go of the resident pages of files that a library keeps mapped after it has copied them."""

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

_MAPS = Path("/proc/self/maps")


def release_mapped_pages(folder: Path) -> int:
    """Drop the pages of files of a folder that this process maps, shared and read-only; gives the bytes mapped.

    Nothing is lost: such a page is the file's own, and the system reads it again when it is touched. They count
    as the process's memory until then. Where the system does not tell what is mapped (not Linux, or a sandbox
    without /proc) nothing is done, and 0 is given.
    """
    if sys.platform != "linux":
        return 0
    from mmap import MADV_DONTNEED

    library = ctypes.CDLL(None, use_errno=True)
    library.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    try:
        ranges = list(_ranges(folder.resolve()))
    except OSError:
        return 0
    total = 0
    for start, end in ranges:
        if library.madvise(start, end - start, MADV_DONTNEED) == 0:
            total += end - start
    return total


def _ranges(folder: Path) -> Iterator[tuple[int, int]]:
    """Find the ranges of addresses at which files of a folder are mapped, shared and read-only."""
    for line in _MAPS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        # address, permissions, offset, device, inode, path
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[1] == "r--s" and folder in Path(fields[5]).parents:
            start, end = fields[0].split("-")
            yield int(start, 16), int(end, 16)
