"""The directories of a TIFF file, checked, and a copy with only the tags that decide a pixel."""

import math
import struct
from dataclasses import dataclass

import numpy as np

__all__ = ["TiffDirectory", "TiffFile", "UnusableImageError"]

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _STRIP_ROWS, _PLANAR = 274, 277, 278, 284
_TILE_WIDTH, _TILE_HEIGHT, _SAMPLE_FORMAT, _SUBSAMPLING = 322, 323, 339, 530
_STRIPS, _TILES = (273, 279), (324, 325)  # where each part starts, and its bytes

_ONE_VALUE = (256, 257, 259, 262, 266, 277, 278, 284, 292, 293, 317, 322, 323)
_NUMBERS = (*_ONE_VALUE, 258, 273, 279, 320, 324, 325, 338, 339, 530, 531)
_KEPT = (*_NUMBERS, 347, 529, 532)  # and JPEG tables, YCbCr coefficients, black and white
_UNSIGNED = {3: "u2", 4: "u4", 16: "u8"}
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8}
_VALUES_MOST = 2**18  # one strip a row, four planes, 65,535 rows
_TAGS_MOST = 4096
_PAGES_MOST = 64
_TILE_PIXELS_MOST = 2048 * 2048
_SAMPLES_MOST = 6  # of one pixel; the most that Pillow knows
_PLAIN, _FAX, _OLD_JPEG, _JPEG = 1, (2, 3, 4), 6, 7  # compressions
_YCBCR, _LAB_KINDS = 6, (8, 9, 10)  # colour spaces


class UnusableImageError(ValueError):
    """A picture file cannot be used; the text says what and the remedy, without the name."""


@dataclass(frozen=True, slots=True)
class TiffDirectory:
    """The tags of one picture; each entry is kept as the bytes that stand in the file."""

    entries: dict[int, bytes]
    numbers: dict[int, list[int]]
    next: int

    def one(self, tag: int, missing: int | None = None) -> int:
        """The first value of a tag, or `missing`."""
        values = self.numbers.get(tag) or ([] if missing is None else [missing])
        if not values:
            raise UnusableImageError(f"the TIFF lacks its tag {tag}; save it again")
        return values[0]

    @property
    def width(self) -> int:
        """Columns as stored."""
        return self.one(_WIDTH)

    @property
    def height(self) -> int:
        """Rows as stored."""
        return self.one(_HEIGHT)

    @property
    def depth(self) -> int:
        """Bits of the widest sample."""
        return max(self.numbers.get(_BITS) or [1])

    @property
    def orientation(self) -> int:
        """1 to 8 as in EXIF; any other value counts as 1."""
        value = self.one(_ORIENTATION, 1)
        return value if 1 <= value <= 8 else 1

    @property
    def inverted(self) -> bool:
        """Grey of more than 8 bits where 0 is white, which Pillow does not turn round."""
        return self.depth > 8 and self.one(_PHOTOMETRIC, 0) == 0

    @property
    def is_preview(self) -> bool:
        """A smaller copy or a mask of another picture of the file."""
        return bool(self.one(_SUBFILE, 0) & 5)


class TiffFile:
    """One TIFF or BigTIFF structure in memory; EXIF has the same."""

    def __init__(self, data: bytes) -> None:
        order = {b"II": "<", b"MM": ">"}.get(data[:2])
        if order is None:
            raise UnusableImageError("not a TIFF structure; save it again")
        big = struct.unpack_from(order + "H", data, 2)[0] == 43
        self._data, self._order, self._inline = data, order, 8 if big else 4
        self._entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
        self._link = struct.Struct(order + ("Q" if big else "I"))
        self._count = struct.Struct(order + ("Q" if big else "H"))

    def first_directory(self) -> TiffDirectory:
        """Read the directory that the header points at."""
        return self._directory(self._link.unpack_from(self._data, self._inline)[0])

    def check_pages(self) -> TiffDirectory:
        """Return the file's only picture of full size, checked.

        Raises:
            UnusableImageError: there are several, or the first cannot be decoded as it stands.
        """
        first = page = self.first_directory()
        for _ in range(_PAGES_MOST):
            if page.is_preview == (page is first):
                raise UnusableImageError("the TIFF holds several pictures; save one per file")
            if not page.next:
                self._check(first)
                return first
            page = self._directory(page.next)
        raise UnusableImageError("the TIFF has too many pages; save one picture per file")

    def with_only(self, page: TiffDirectory) -> bytes:
        """The file with a single directory, which keeps only the tags that decide a pixel."""
        entries = {tag: raw for tag, raw in sorted(page.entries.items()) if tag in _KEPT}
        if page.inverted:
            one = struct.pack(self._order + "H", 1).ljust(self._inline, b"\0")
            entries[_PHOTOMETRIC] = self._entry.pack(_PHOTOMETRIC, 3, 1, one)
        start = len(self._data) + len(self._data) % 2  # a directory stands at an even place
        head = self._data[: self._inline] + self._link.pack(start)
        tail = [self._count.pack(len(entries)), *entries.values(), self._link.pack(0)]
        body = memoryview(self._data)[len(head) :]
        return b"".join([head, body, b"\0" * (len(self._data) % 2), *tail])

    def _directory(self, start: int) -> TiffDirectory:
        (count,) = self._count.unpack_from(self._data, start)
        if count > _TAGS_MOST:
            raise UnusableImageError("the TIFF has too many tags; save it again")
        entries, numbers = {}, {}
        position = start + self._count.size
        for _ in range(count):
            tag, kind, amount, value = self._entry.unpack_from(self._data, position)
            if tag not in entries:
                entries[tag] = self._data[position : position + self._entry.size]
            if tag in (*_NUMBERS, _SUBFILE, _ORIENTATION) and tag not in numbers:
                numbers[tag] = self._values(tag, kind, amount, value)
            position += self._entry.size
        return TiffDirectory(entries, numbers, self._link.unpack_from(self._data, position)[0])

    def _values(self, tag: int, kind: int, amount: int, value: bytes) -> list[int]:
        most = 1 if tag in _ONE_VALUE else _VALUES_MOST
        if kind not in _UNSIGNED or not 1 <= amount <= most:
            raise UnusableImageError(f"the TIFF's tag {tag} is not usable; save it again")
        data_type = np.dtype(self._order + _UNSIGNED[kind])
        if amount * data_type.itemsize <= self._inline:
            return np.frombuffer(value, data_type, amount).tolist()
        (offset,) = self._link.unpack(value)
        return np.frombuffer(self._data, data_type, amount, offset).tolist()

    def _check(self, page: TiffDirectory) -> None:
        self._check_tag_bytes(page)
        if set(page.numbers.get(_SAMPLE_FORMAT, [1])) != {1} or page.depth > 16:
            raise UnusableImageError(
                "the TIFF holds signed, floating-point or 32-bit values; save it with 8 or 16 bits"
            )
        compression, kind = page.one(_COMPRESSION, _PLAIN), page.one(_PHOTOMETRIC, 0)
        if kind in _LAB_KINDS:
            raise UnusableImageError("the TIFF holds CIELAB colours; save it as RGB")
        # libtiff answers damaged fax data with white, and no error.
        if compression == _OLD_JPEG or compression in _FAX:
            raise UnusableImageError("the TIFF is compressed as fax or old JPEG; save it as PNG")
        if kind == _YCBCR and compression == _PLAIN and page.numbers.get(_SUBSAMPLING) != [1, 1]:
            raise UnusableImageError("the TIFF's colours are subsampled; save it as RGB")
        _check_layout(page)
        self._check_parts(page)

    def _check_tag_bytes(self, page: TiffDirectory) -> None:
        """Every kept value lies within the file; together they are no more than the file."""
        total = 0
        for tag in _KEPT:
            if raw := page.entries.get(tag):
                _, kind, amount, value = self._entry.unpack(raw)
                size = amount * _TYPE_BYTES[kind]
                total += size
                outside = size > self._inline and self._link.unpack(value)[0] + size > len(
                    self._data
                )
                if outside or total > len(self._data):
                    raise UnusableImageError(f"the TIFF's tag {tag} is cut off; save it again")

    def _check_parts(self, page: TiffDirectory) -> None:
        """All strips or tiles are there, within the file, and hold enough."""
        tiled = not page.numbers.keys().isdisjoint((_TILE_WIDTH, _TILE_HEIGHT, *_TILES))
        if tiled and not page.numbers.keys().isdisjoint(_STRIPS):
            raise UnusableImageError("the TIFF mixes strips and tiles; save it again")
        starts, sizes = _TILES if tiled else _STRIPS
        begins, lengths = page.numbers.get(starts, []), page.numbers.get(sizes, [])
        ends = [begin + length for begin, length in zip(begins, lengths, strict=True)]
        if len(ends) < _part_count(page, tiled=tiled) or max(ends) > len(self._data):
            raise UnusableImageError("the TIFF is cut off; copy or record it again")
        row = math.ceil(page.width * page.depth * page.one(_SAMPLES, 1) / 8)
        if page.one(_COMPRESSION, _PLAIN) == _PLAIN and sum(lengths) < page.height * row:
            raise UnusableImageError("the TIFF lacks rows; copy or record it again")
        if page.one(_COMPRESSION, _PLAIN) == _JPEG and any(
            self._data.rfind(b"\xff\xd9", begin, end) < 0
            for begin, end in zip(begins, ends, strict=True)
        ):
            raise UnusableImageError("the TIFF is cut off; copy or record it again")


def _check_layout(page: TiffDirectory) -> None:
    planar, samples = page.one(_PLANAR, 1), page.one(_SAMPLES, 1)
    if planar not in (1, 2) or samples > _SAMPLES_MOST or (planar == 2 and page.depth != 8):
        raise UnusableImageError(
            f"the TIFF's {samples} samples a pixel are stored in a way that is not supported; "
            "save it as RGB"
        )


def _part_count(page: TiffDirectory, *, tiled: bool) -> int:
    planes = page.one(_SAMPLES, 1) if page.one(_PLANAR, 1) == 2 else 1
    if not tiled:
        return planes * math.ceil(page.height / min(page.one(_STRIP_ROWS, 2**32), page.height))
    width, height = page.one(_TILE_WIDTH), page.one(_TILE_HEIGHT)
    # A tile is inflated as a whole, whatever the picture's own size.
    if width * height > max(_TILE_PIXELS_MOST, (page.width + 15) * (page.height + 15)):
        raise UnusableImageError("the TIFF's tiles are larger than the picture; save it again")
    return planes * math.ceil(page.width / width) * math.ceil(page.height / height)
