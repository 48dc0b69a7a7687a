"""One file of stored features: a header of names and checksums, then records of equal length.

    magic (8) | length of the header (8, little endian) | header (JSON) | zeros to a multiple of 64 | records

A record is the global feature (dim) in float32, the patch features (layers, patches, dim) in float16 or
float32, and the mask, one bit a pixel. A file is written whole under a name of its own and never changed: any
number of runs may share a folder.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from numpy import ndarray

from vipx.files import whole_file

MAGIC = b"VIPXFEA1"
ALIGNMENT = 64


class DamagedShardError(Exception):
    """A file of stored features is not what was written; its features are computed again."""


@dataclass(frozen=True, slots=True)
class StoredFeatures:
    """What is kept of one image; vectors rounded to float16 have length 1 up to rounding."""

    global_feature: Float32[ndarray, "dim"]
    patch_features: Float[ndarray, "layers patches dim"]
    mask: Bool[ndarray, "height width"]


@dataclass(frozen=True, slots=True)
class RecordShape:
    """Sizes of a record's parts."""

    dim: int
    layers: int
    patches: int
    height: int
    width: int
    stored: Literal["float16", "float32"] = "float16"

    @property
    def size(self) -> int:
        """Length of a record in bytes."""
        used = self._features_end + -(-self.height * self.width // 8)
        return -(-used // ALIGNMENT) * ALIGNMENT

    @property
    def _features_end(self) -> int:
        each = np.dtype(self.stored).itemsize
        return 4 * self.dim + each * self.layers * self.patches * self.dim

    def packed(self, features: StoredFeatures) -> bytes:
        """Give a record's bytes."""
        bits = np.packbits(features.mask.reshape(-1)).tobytes()
        parts = features.global_feature.tobytes() + features.patch_features.tobytes() + bits
        return parts.ljust(self.size, b"\0")

    def unpacked(self, record: UInt8[ndarray, "bytes"]) -> StoredFeatures:
        """Look at a record; the features share its memory."""
        start, end = 4 * self.dim, self._features_end
        patches = record[start:end].view(self.stored)
        pixels = self.height * self.width
        bits = np.unpackbits(record[end : end + -(-pixels // 8)], count=pixels)
        return StoredFeatures(
            global_feature=record[:start].view(np.float32),
            patch_features=patches.reshape(self.layers, self.patches, self.dim),
            mask=bits.view(np.bool_).reshape(self.height, self.width),
        )


class Shard:
    """An opened file; records are mapped, and checked when they are first read."""

    def __init__(self, path: Path, shape: RecordShape) -> None:
        """Read the header and map the records.

        Raises:
            DamagedShardError: The file is cut, or was not written with this shape.
        """
        header, start = _header(path)
        names, sums = header.get("names"), header.get("crc32")
        if header.get("record_bytes") != shape.size or not isinstance(names, list):
            raise DamagedShardError("its header is not this cache's")
        if not isinstance(sums, list) or len(sums) != len(names):
            raise DamagedShardError("its checksums are missing")
        if path.stat().st_size != start + shape.size * len(names):
            raise DamagedShardError("it is cut")
        self.path, self.shape = path, shape
        self.names: tuple[str, ...] = tuple(names)
        self._sums = tuple(sums)
        self._checked = [False] * len(names)
        # Copy on write: torch warns of arrays that it could not write to.
        shaped = (len(names), shape.size)
        self._records = np.memmap(path, np.uint8, mode="c", offset=start, shape=shaped)

    def read(self, number: int) -> StoredFeatures:
        """Give a record.

        Raises:
            DamagedShardError: Its bytes are not those that were written.
        """
        record = np.asarray(self._records[number])
        if not self._checked[number]:
            if zlib.crc32(record.data) != self._sums[number]:
                raise DamagedShardError(f"its record {number} has another checksum")
            self._checked[number] = True
        return self.shape.unpacked(record)


def write_shard(path: Path, shape: RecordShape, records: Mapping[str, StoredFeatures]) -> None:
    """Write features under their names, whole or not at all.

    Raises:
        ResourceError: The disk is full or broken.
        InputError: The folder cannot be written to.
    """
    packed = [shape.packed(features) for features in records.values()]
    header = json.dumps(
        {
            "record_bytes": shape.size,
            "names": list(records),
            "crc32": [zlib.crc32(record) for record in packed],
        }
    ).encode()
    start = -(-(16 + len(header)) // ALIGNMENT) * ALIGNMENT
    with whole_file(path) as file:
        file.write((MAGIC + len(header).to_bytes(8, "little") + header).ljust(start, b"\0"))
        for record in packed:
            file.write(record)


def _header(path: Path) -> tuple[dict[str, Any], int]:
    size = path.stat().st_size
    with path.open("rb") as file:
        begin = file.read(16)
        length = int.from_bytes(begin[8:], "little")
        if len(begin) < 16 or begin[:8] != MAGIC or length > size - 16:
            raise DamagedShardError("it does not begin as one")
        text = file.read(length)
    try:
        header = json.loads(text)
    except ValueError as error:
        raise DamagedShardError("its header cannot be read") from error
    if not isinstance(header, dict):
        raise DamagedShardError("its header cannot be read")
    return header, -(-(16 + length) // ALIGNMENT) * ALIGNMENT
