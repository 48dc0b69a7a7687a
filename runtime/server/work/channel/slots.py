"""Shared memory for frames and maps: a few slots, made once, that server and children map."""

import mmap
import os
import tempfile

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

# Above this a slot gives its pages back when it is free, so that one huge picture is not paid for ever.
_KEPT_BYTES = 8 * 2**20


class Slots:
    """`count` slots of `size` bytes in a file that has no name.

    Memory is taken by the pages that were written, not by the size.

    Args:
        descriptor: Of a file that another process made; without it one is made.
    """

    def __init__(self, count: int, size: int, descriptor: int | None = None) -> None:
        page = mmap.ALLOCATIONGRANULARITY
        self.size = -(-size // page) * page
        self.descriptor = _nameless_file() if descriptor is None else descriptor
        if descriptor is None:
            os.ftruncate(self.descriptor, count * self.size)
        self._memory = mmap.mmap(self.descriptor, count * self.size)

    def put_bytes(self, slot: int, data: bytes) -> None:
        """Write an encoded image."""
        start = slot * self.size
        self._memory[start : start + len(data)] = data

    def put_pixels(self, slot: int, pixels: UInt8[ndarray, "height width 3"]) -> None:
        """Write RGB pixels."""
        np.copyto(self._array(slot, pixels.shape, np.uint8), pixels)

    def put_map(self, slot: int, values: Float32[ndarray, "height width"]) -> None:
        """Write an anomaly map."""
        np.copyto(self._array(slot, values.shape, np.float32), values)

    def bytes_of(self, slot: int, length: int) -> bytes:
        """Copy an encoded image."""
        start = slot * self.size
        return self._memory[start : start + length]

    def pixels_of(self, slot: int, height: int, width: int) -> UInt8[ndarray, "{height} {width} 3"]:
        """Look at RGB pixels where they lie; they are the slot's."""
        return self._array(slot, (height, width, 3), np.uint8)

    def map_of(self, slot: int, height: int, width: int) -> Float32[ndarray, "{height} {width}"]:
        """Copy an anomaly map."""
        return self._array(slot, (height, width), np.float32).copy()

    def release(self, slot: int, used: int) -> None:
        """Say that a slot is free and how many bytes were written; many are given back to the system."""
        if used > _KEPT_BYTES and hasattr(mmap, "MADV_REMOVE"):
            self._memory.madvise(mmap.MADV_REMOVE, slot * self.size, self.size)

    def close(self) -> None:
        """Give the memory back; the slots cannot be used afterwards."""
        self._memory.close()
        os.close(self.descriptor)

    def _array(self, slot: int, shape: tuple[int, ...], dtype: type) -> ndarray:
        return np.ndarray(shape, dtype, buffer=self._memory, offset=slot * self.size)


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("vipx-frames")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
