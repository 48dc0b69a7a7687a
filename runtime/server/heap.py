"""How the C library keeps a process's memory: in few heaps, of a size that does not creep.

glibc gives up to eight heaps to each core's threads, and after the first large buffer that is freed it takes
such buffers from a heap as well, whose end one small piece holds up. A server whose threads take a picture each
then grows by steps for hours without keeping anything, each time that more of them are at work than before.
"""

import asyncio
import ctypes
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from vipx.runtime.server.settings import MEBIBYTE

# malloc.h
_M_TRIM_THRESHOLD: Final = -1
_M_TOP_PAD: Final = -2
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8

_TRIM_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class HeapBounds:
    """What malloc may do.

    Attributes:
        heaps: Most heaps that threads share.
        large: Buffers from so many bytes on come from the system and go back to it when they are freed; at most
            32 MiB.
        spare: Most free bytes at a heap's end; where there are more, they are given back but for `kept`.
        kept: See `spare`.
    """

    heaps: int
    large: int
    spare: int
    kept: int


# Buffers up to 32 MiB come from the heaps: with fresh pages from the system for each of more than 256 KiB, a
# raw frame of 518 px, which the front copies several times, took 3 ms longer.
FRONT: Final = HeapBounds(heaps=2, large=32 * MEBIBYTE, spare=8 * MEBIBYTE, kept=4 * MEBIBYTE)
ENGINE: Final = HeapBounds(heaps=1, large=32 * MEBIBYTE, spare=36 * MEBIBYTE, kept=31 * MEBIBYTE)


def bound_heap(bounds: HeapBounds) -> bool:
    """Bound this process's malloc from here on; say whether it was done.

    It cannot be taken back, so it belongs at the start of a program. C libraries other than glibc are left as
    they are.
    """
    library = glibc()
    if library is None:
        return False
    wanted = (
        (_M_ARENA_MAX, bounds.heaps),
        (_M_MMAP_THRESHOLD, bounds.large),
        (_M_TRIM_THRESHOLD, bounds.spare),
        (_M_TOP_PAD, bounds.kept),
    )
    return all([library.mallopt(name, value) == 1 for name, value in wanted])


def fill_heap(bounds: HeapBounds) -> None:
    """Have from now on what a heap may keep, so that it does not grow to it in the course of time."""
    library = glibc()
    if library is not None:
        library.malloc.argtypes, library.malloc.restype = (ctypes.c_size_t,), ctypes.c_void_p
        library.free.argtypes = (ctypes.c_void_p,)
        if block := library.malloc(bounds.kept):
            ctypes.memset(block, 0xFF, bounds.kept)  # pages come where something is written
            library.free(block)


def trim_heap() -> None:
    """Give every page back that malloc holds and nobody uses, also between two pieces that are used.

    It takes some 8 ms for 120 MB, and 0.1 ms where there is little to give (on a Zen 5).
    """
    library = glibc()
    if library is not None:
        library.malloc_trim(0)


@asynccontextmanager
async def trimmed_heap() -> AsyncIterator[None]:
    """Trim the heap every ten seconds for as long as the block runs.

    Pictures pile up wherever something is slow for a moment, a disk most of all. What that took would be kept
    for good: each time that more of them wait than ever before, the process would be larger from then on.
    """

    async def trim_for_ever() -> None:
        while True:
            await asyncio.sleep(_TRIM_S)
            await asyncio.to_thread(trim_heap)

    task = asyncio.create_task(trim_for_ever())
    try:
        yield
    finally:
        task.cancel()


def glibc() -> Any:  # noqa: ANN401 - ctypes has no types
    """Give the C library of this process if it is glibc; None for any other."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
