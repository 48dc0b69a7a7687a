"""PNGs that others read back pixel for pixel."""

import io
import struct
import zlib

import hypothesis.extra.numpy as arrays
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vipx.images import decode_image
from vipx.runtime.server.storage.png import frame_png

FRAMES = st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(
    lambda size: arrays.arrays(np.uint8, (*size, 3))
)


@given(FRAMES)
def test_any_frame_is_read_back_pixel_for_pixel(frame: np.ndarray) -> None:
    png = frame_png(frame)
    with Image.open(io.BytesIO(png)) as read:
        assert (read.format, read.mode) == ("PNG", "RGB")
        assert np.array_equal(np.asarray(read), frame)
    assert np.array_equal(decode_image(png, name="frame"), frame)


def test_a_frame_need_not_lie_together_in_memory() -> None:
    wide = np.random.default_rng(0).integers(0, 256, (50, 90, 3), np.uint8)
    view = wide[::2, 10:70:3, ::-1]
    with Image.open(io.BytesIO(frame_png(view))) as read:
        assert np.array_equal(np.asarray(read), view)


def test_it_is_what_the_standard_says_it_is() -> None:
    png = frame_png(np.zeros((3, 2, 3), np.uint8))
    kinds, place = [], 8
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        chunk = png[place + 4 : place + 8 + length]
        assert struct.unpack_from(">I", png, place + 8 + length) == (zlib.crc32(chunk),)
        kinds.append(chunk[:4])
        place += 12 + length
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]
    assert place == len(png)


def test_a_smooth_frame_takes_little_room() -> None:
    rows, columns = np.mgrid[0:240, 0:320]
    frame = np.stack([rows // 2, columns // 2, np.full_like(rows, 90)], -1).astype(np.uint8)
    assert len(frame_png(frame)) < frame.nbytes / 6
