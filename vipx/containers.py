"""What a picture file says about itself, read and checked before Pillow decodes a single pixel.

Pillow gets a copy of what decides the pixels and of nothing else. EXIF, XMP, ICC profiles,
comments, thumbnails, animation frames and further TIFF directories can therefore neither fill the
memory, nor warn, nor change the picture with the version of Pillow.
"""

import math
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from vipx.tiff import TiffFile, UnusableImageError

__all__ = ["Container", "UnusableImageError", "has_all_rows", "inspect_container"]

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_PALETTE = 3
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_INFLATED_AT_ONCE = 2**16  # bytes
_CHUNKS_MOST = 2**17  # a 40 Mpx file in chunks of 4 KiB has 2**15

# A segment starts with 0xFF and a code that is neither stuffing nor without a length.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)
_JPEG_SIZE = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_KEPT_APP = (0xE0, 0xEE)  # JFIF and Adobe: they say which colour space the samples are in
_JPEG_SEGMENTS_MOST = 4096
_JPEG_SCANS_MOST = 100  # each scan of a progressive file costs a pass over the whole picture

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0")
_REFUSED = (
    (re.compile(rb"GIF8"), "a GIF"),
    (re.compile(rb"MM\0\+"), "a big-endian BigTIFF"),  # Pillow reads half of its header
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "a WebP picture"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "an AVIF picture"),
    (re.compile(rb"....ftyp", re.DOTALL), "a HEIC picture or a video"),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", re.DOTALL), "a JPEG 2000 picture"),
)
_CUT_OFF = "the file is cut off or damaged; copy or record it again"


@dataclass(frozen=True, slots=True)
class Container:
    """One picture file, as its own header describes it.

    Attributes:
        kind: what Pillow calls the format.
        width: columns as stored, before the orientation is applied.
        height: rows as stored, before the orientation is applied.
        depth: bits of one sample.
        orientation: 1 to 8 as in EXIF.
        inverted: 16-bit grey where 0 is white; Pillow is told otherwise, as it would not invert.
        scan_bytes: length of a PNG's inflated rows; 0 for the other formats.
        interlaced: a PNG whose rows are stored in seven passes.
        data: the file without what does not decide a pixel.
    """

    kind: str
    width: int
    height: int
    data: bytes
    depth: int = 8
    orientation: int = 1
    inverted: bool = False
    scan_bytes: int = 0
    interlaced: bool = False


def inspect_container(data: bytes) -> Container:
    """Recognise a file by its first bytes and read its header.

    Raises:
        UnusableImageError: the format is not supported, or the file breaks the format's own rules.
    """
    if data.startswith(_PNG_SIGNATURE):
        return _png(data)
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(_TIFF_STARTS):
        return _tiff(data)
    if data.startswith(b"BM"):
        return _bmp(data)
    if not data:
        raise UnusableImageError("the file is empty; copy or record it again")
    found = next((name for start, name in _REFUSED if start.match(data)), "not a picture")
    raise UnusableImageError(f"the file is {found}; vipx reads PNG, JPEG, BMP and TIFF")


def has_all_rows(png: Container) -> bool:
    """Say whether a PNG's compressed data holds every row.

    Pillow takes data that ends early for a picture whose remaining rows are black.
    """
    inflater, held = zlib.decompressobj(), 0
    for waiting in _png_data(png.data):
        while waiting and held < png.scan_bytes:
            held += len(inflater.decompress(waiting, _INFLATED_AT_ONCE))
            waiting = inflater.unconsumed_tail
    return held >= png.scan_bytes or held + len(inflater.flush()) >= png.scan_bytes


def _png(data: bytes) -> Container:
    chunks = list(_png_chunks(data))
    found = dict(chunks)
    header = struct.unpack_from(">I4sIIBBBBB", data, 8)
    length, first, width, height, depth, colours, _, _, interlaced = header
    if (length, first) != (13, b"IHDR") or [name for name, _ in chunks].count(first) > 1:
        raise UnusableImageError(_CUT_OFF)
    _check_png(found, depth, colours)
    return Container(
        "PNG",
        width,
        height,
        b"".join([_PNG_SIGNATURE, *(chunk for name, chunk in chunks if name in _PNG_KEPT)]),
        depth=depth,
        orientation=_exif_orientation(bytes(found.get(b"eXIf", b""))[8:-4]),
        scan_bytes=_png_scan_bytes(width, height, depth * _PNG_SAMPLES[colours], bool(interlaced)),
        interlaced=bool(interlaced),
    )


def _check_png(found: dict[bytes, memoryview], depth: int, colours: int) -> None:
    if b"acTL" in found and struct.unpack_from(">I", found[b"acTL"], 8)[0] > 1:
        raise UnusableImageError("the PNG is an animation; save one picture per file")
    if colours == _PNG_PALETTE and b"PLTE" not in found:
        raise UnusableImageError("the PNG lacks its palette; save it again")
    # Pillow compares the colour with samples it has already scaled to 8 bits.
    if b"tRNS" in found and colours != _PNG_PALETTE and depth != 8:
        raise UnusableImageError(
            f"a transparent colour in a PNG of {depth} bits is not supported; save it without"
        )


def _png_data(data: bytes) -> Iterator[bytes]:
    """The compressed rows in short pieces: what zlib leaves over is copied each time."""
    for kind, chunk in _png_chunks(data):
        if kind == b"IDAT":
            packed = chunk[8:-4]
            for start in range(0, len(packed), _INFLATED_AT_ONCE):
                yield bytes(packed[start : start + _INFLATED_AT_ONCE])


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Each chunk's name and its bytes, from the length to the checksum, up to the last chunk."""
    view, position = memoryview(data), len(_PNG_SIGNATURE)
    for _ in range(_CHUNKS_MOST):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise UnusableImageError(_CUT_OFF)
        if zlib.crc32(view[position + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise UnusableImageError("a checksum of the PNG is wrong; copy or record it again")
        yield kind, view[position:end]
        if kind == b"IEND":
            return
        position = end
    raise UnusableImageError("the PNG has too many parts; save it again")


def _png_scan_bytes(width: int, height: int, bits: int, interlaced: bool) -> int:
    total = 0
    for x, y, right, down in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -((x - width) // right), -((y - height) // down)
        total += rows * (1 + math.ceil(columns * bits / 8)) if columns > 0 and rows > 0 else 0
    return total


def _jpeg(data: bytes) -> Container:
    view, size, orientation, end = memoryview(data), None, 1, 2
    kept = [view[:2]]
    for start in _jpeg_segments(data):
        code, length = struct.unpack_from(">BH", data, start + 1)
        end = start + 2 + length
        if code in _JPEG_SIZE:
            size = struct.unpack_from(">BHH", data, start + 4)
        if code == 0xE1 and data.startswith(b"Exif\0\0", start + 4):
            orientation = _exif_orientation(data[start + 10 : end])
        if code < 0xE0 or code in _JPEG_KEPT_APP:
            kept.append(view[start:end])
    # Decoders fill what is missing with grey. A file that was cut off has no end marker.
    if size is None or data.rfind(b"\xff\xd9", end) < 0:
        raise UnusableImageError(_CUT_OFF)
    if data.count(b"\xff\xda", end) > _JPEG_SCANS_MOST:
        raise UnusableImageError("the JPEG has too many scans; save it again")
    depth, height, width = size
    return Container(
        "JPEG", width, height, b"".join([*kept, view[end:]]), depth=depth, orientation=orientation
    )


def _jpeg_segments(data: bytes) -> Iterator[int]:
    """Where each segment starts, up to and including the one before the first pixels."""
    position = 2
    for _ in range(_JPEG_SEGMENTS_MOST):
        marker = _JPEG_MARKER.search(data, position)
        if marker is None or marker[1] == b"\xd9":
            raise UnusableImageError(_CUT_OFF)
        (length,) = struct.unpack_from(">H", data, marker.end())
        position = marker.end() + length
        if length < 2 or position > len(data):
            raise UnusableImageError(_CUT_OFF)
        yield marker.start()
        if marker[1] == b"\xda":
            return
    raise UnusableImageError("the JPEG has too many parts; save it again")


def _bmp(data: bytes) -> Container:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return Container("BMP", width, abs(height), data)


def _tiff(data: bytes) -> Container:
    tiff = TiffFile(data)
    page = tiff.check_pages()
    return Container(
        "TIFF",
        page.width,
        page.height,
        tiff.with_only(page),
        depth=page.depth,
        orientation=page.orientation,
        inverted=page.inverted,
    )


def _exif_orientation(exif: bytes) -> int:
    """The orientation an EXIF block gives; 1 where the block cannot be read, as in every viewer."""
    try:
        return TiffFile(exif).first_directory().orientation
    except (UnusableImageError, struct.error, ValueError, KeyError):
        return 1
