"""Broken pictures: valid files that were cut, flipped or lie about themselves; and eight bombs."""

import random
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.pictures import chunk, grey_page, noise, packed_zeros, png, png_bomb, saved, scene, tiff

_KINDS = ("PNG", "JPEG", "BMP", "TIFF")


def valid_files() -> dict[str, bytes]:
    """Small files of every kind, named by it."""
    picture = Image.fromarray(scene(24, 32))
    files = {f"{kind} plain": saved(picture, kind) for kind in _KINDS}
    files["PNG palette"] = saved(picture.convert("P"), "PNG")
    files["PNG alpha"] = saved(picture.convert("RGBA"), "PNG")
    files["PNG grey 16"] = saved(Image.fromarray(noise(24, 32, 1)[..., 0].astype(np.uint16)), "PNG")
    files["JPEG progressive"] = saved(picture, "JPEG", progressive=True)
    files["JPEG grey"] = saved(picture.convert("L"), "JPEG")
    files["JPEG CMYK"] = saved(picture.convert("CMYK"), "JPEG")
    files["TIFF deflate"] = saved(picture, "TIFF", compression="tiff_adobe_deflate")
    files["TIFF lzw"] = saved(picture, "TIFF", compression="tiff_lzw")
    files["TIFF strips"] = tiff([grey_page(32, 24)], [bytes(noise(24, 32, 1))])
    return files


def broken_files(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Draw broken files, named by what was done to them."""
    draw = random.Random(seed)
    files = list(valid_files().items())
    for _ in range(count):
        kind, data = draw.choice(files)
        way = draw.choice(("cut", "flip", "lie", "splice"))
        yield f"{kind}, {way}", _break(bytearray(data), way, draw)


def _break(data: bytearray, way: str, draw: random.Random) -> bytes:
    if way == "cut":
        return bytes(data[: draw.randrange(len(data))])
    if way == "flip":
        for _ in range(draw.choice((1, 1, 2, 8, 64))):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    elif way == "lie":
        # Numbers in the header: sizes, counts, offsets.
        place = draw.randrange(min(64, len(data) - 4))
        data[place : place + 4] = draw.choice(
            (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), struct.pack(">I", 40_000))
        )
    else:
        start, end = sorted(draw.randrange(len(data)) for _ in range(2))
        data[start:end] = draw.randbytes(draw.randrange(64))
    return bytes(data)


def bombs() -> dict[str, bytes]:
    """Eight small files that would be large in memory or slow."""
    text = b"Comment\0\0\0\0\0" + zlib.compress(bytes(2**24), 9)
    frames = b"".join(chunk(b"fcTL", bytes(26)) for _ in range(10_000))
    wide = png(1_000_000, 1, bytes(3_000_001))
    tiles: dict[int, int | list[int]] = {322: 65_520, 323: 65_520}
    page = grey_page(65_520, 65_520) | tiles
    page.pop(278)
    exif = b"\xff\xe1\xff\xff" + b"Exif\0\0" + bytes(65_527)
    plain = saved(Image.fromarray(scene(24, 32)), "JPEG")
    return {
        "PNG of 13300 x 13300": png_bomb(13_300),
        "PNG of 30000 x 30000": _png_claiming(30_000),
        "TIFF of one vast tile": tiff([page], [zlib.compress(bytes(2**20))], tiles=True),
        "PNG with 10,000 frames": png(8, 8, bytes(8 * 25), extra=frames),
        "PNG whose text inflates": png(8, 8, bytes(8 * 25), extra=chunk(b"zTXt", text) * 20),
        "JPEG with 300 EXIF blocks": plain[:2] + exif * 300 + plain[2:],
        "PNG of 1000000 x 1": wide,
        "PNG whose rows inflate beyond its size": _png_overfull(),
    }


def _png_claiming(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = packed_zeros(2**26)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _png_overfull() -> bytes:
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", packed_zeros(2**30)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
