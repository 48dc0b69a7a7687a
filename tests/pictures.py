"""Picture files written byte by byte, and by Pillow, for the tests of reading them."""

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
import PIL
import pytest
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

_TIFF_TYPES = {3: "H", 4: "I", 16: "Q"}


pillow_13 = pytest.mark.skipif(
    int(PIL.__version__.split(".")[0]) < 13, reason="an older Pillow resizes, or refuses, otherwise"
)


def noise(height: int, width: int, bands: int = 3, seed: int = 0) -> UInt8[ndarray, "h w bands"]:
    return np.random.default_rng(seed).integers(1, 256, (height, width, bands), np.uint8)


def scene(height: int, width: int) -> UInt8[ndarray, "h w 3"]:
    """Smooth colours: JPEG and palettes keep them closely."""
    rows, columns = np.mgrid[0:height, 0:width]
    bands = [40 + 150 * rows / height, 60 + 150 * columns / width, 128 + 60 * np.sin(columns / 9)]
    return np.stack(bands, axis=-1).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int,
    height: int,
    rows: bytes,
    *,
    depth: int = 8,
    colours: int = 2,
    interlaced: bool = False,
    extra: bytes = b"",
    tail: bytes = b"",
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, interlaced)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            extra,
            chunk(b"IDAT", zlib.compress(rows)),
            tail,
            chunk(b"IEND", b""),
        ]
    )


def packed_zeros(count: int) -> bytes:
    """About `count` zero bytes as zlib would pack them; `count` is rounded up to 2**20."""
    packer = zlib.compressobj(9, wbits=-15)
    piece = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    pieces = -(-count // 2**20)
    checksum = struct.pack(">HH", pieces * 2**20 % 65521, 1)
    return b"\x78\xda" + piece * pieces + b"\x03\0" + checksum


def png_bomb(side: int) -> bytes:
    """A black RGB picture whose file is a thousandth of its pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = packed_zeros(side * (1 + 3 * side))
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(
    pages: Sequence[dict[int, int | list[int]]],
    parts: Sequence[bytes],
    *,
    order: str = "<",
    big: bool = False,
    tiles: bool = False,
) -> bytes:
    """A TIFF whose first page has `parts` as its strips or tiles; the further pages share them.

    Numbers are written as LONG in a classic file and as LONG8 in a big one.
    """
    kind, inline, link = (16, 8, "Q") if big else (4, 4, "I")
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "H", 43 if big else 42)
    body = bytearray(head + (struct.pack(order + "HH", 8, 0) if big else b"") + bytes(inline))
    begins = []
    for part in parts:
        begins.append(len(body))
        body += part
    pointer = inline
    for page in pages:
        tags = {324 if tiles else 273: begins, 325 if tiles else 279: [*map(len, parts)]} | page
        entries = []
        for tag, values in sorted(tags.items()):
            numbers = values if isinstance(values, list) else [values]
            packed = struct.pack(f"{order}{len(numbers)}{_TIFF_TYPES[kind]}", *numbers)
            if len(packed) > inline:
                body += b"\0" * (len(body) % 2)
                place = struct.pack(order + link, len(body))
                body += packed
                packed = place
            count = struct.pack(order + "HH" + link, tag, kind, len(numbers))
            entries.append(count + packed.ljust(inline, b"\0"))
        body += b"\0" * (len(body) % 2)
        struct.pack_into(order + link, body, pointer, len(body))
        body += struct.pack(order + ("Q" if big else "H"), len(entries)) + b"".join(entries)
        pointer = len(body)
        body += bytes(inline)
    return bytes(body)


def grey_page(width: int, height: int, **more: int | list[int]) -> dict[int, int | list[int]]:
    """The tags of 8-bit grey in strips; `more` overrides, as `t258=16`."""
    tags: dict[int, int | list[int]] = {
        256: width,
        257: height,
        258: 8,
        259: 1,
        262: 1,
        277: 1,
        278: height,
    }
    return tags | {int(name[1:]): value for name, value in more.items()}
