import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.pictures import grey_page, noise, saved, scene, tiff
from vipx.errors import ImageError
from vipx.images import decode_image

GREY = noise(4, 6)[..., 0]
PART = GREY.tobytes()


def refused(data: bytes, match: str) -> None:
    with pytest.raises(ImageError, match=match):
        decode_image(data, name="part")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("subfile", [1, 4, 5])
def test_previews_and_masks_are_passed_over(order: str, subfile: int) -> None:
    pages = [grey_page(6, 4), grey_page(3, 2, t254=subfile), grey_page(1, 1, t254=subfile)]
    got = decode_image(tiff(pages, [PART], order=order), name="part")
    assert np.array_equal(got[..., 0], GREY)


def test_several_pictures_are_an_error() -> None:
    refused(tiff([grey_page(6, 4), grey_page(6, 4)], [PART]), "several pictures")
    refused(tiff([grey_page(6, 4, t254=1), grey_page(6, 4)], [PART]), "several pictures")
    first, second = Image.fromarray(scene(8, 8)), Image.fromarray(noise(8, 8))
    refused(saved(first, "TIFF", save_all=True, append_images=[second]), "several pictures")


def test_pages_that_never_end_are_an_error() -> None:
    preview = grey_page(3, 2, t254=1)
    refused(tiff([grey_page(6, 4)] + [preview] * 100, [PART]), "too many pages")
    data = bytearray(tiff([grey_page(6, 4), preview], [PART]))
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    (second,) = struct.unpack_from("<I", data, first + 2 + 12 * count)
    struct.pack_into("<I", data, len(data) - 4, second)  # the preview is followed by itself
    refused(bytes(data), "too many pages")


@pytest.mark.parametrize(
    ("tags", "match"),
    [
        ({"t322": 4096, "t323": 4096}, "tiles are larger"),
        ({"t322": 0, "t323": 16}, "damaged"),
        ({"t322": 16}, "lacks its tag 323"),
    ],
)
def test_unusable_tiles(tags: dict[str, int], match: str) -> None:
    refused(tiff([grey_page(6, 4, **tags)], [PART], tiles=True), match)


def test_a_tile_may_be_larger_than_a_small_picture() -> None:
    tile = np.zeros((512, 512), np.uint8)
    tile[:4, :6] = GREY
    page = grey_page(6, 4, t259=8, t322=512, t323=512)
    got = decode_image(tiff([page], [zlib.compress(tile.tobytes())], tiles=True), name="part")
    assert np.array_equal(got[..., 0], GREY)


@pytest.mark.parametrize(
    ("tags", "parts", "match"),
    [
        ({"t278": 2}, [PART], "cut off"),
        ({"t278": 2, "t259": 8}, [zlib.compress(PART[:12])], "cut off"),
        ({}, [PART[:-1]], "lacks rows"),
        ({"t278": 2}, [PART[:12], PART[12:-1]], "lacks rows"),
        ({"t277": 3, "t284": 2, "t258": [8] * 3, "t262": 2}, [PART] * 2, "cut off"),
        ({"t259": 8}, [zlib.compress(PART[:-6])], "damaged"),
        ({"t279": 100_000}, [PART], "cut off"),
        ({"t273": 100_000}, [PART], "cut off"),
        ({"t279": [12, 12]}, [PART], "damaged"),
        ({"t322": 16, "t323": 16}, [PART], "mixes strips and tiles"),
        ({"t324": 8, "t325": 8}, [PART], "mixes strips and tiles"),
        ({"t258": [8] * 9, "t277": 9, "t262": 2}, [PART * 9], "9 samples"),
        ({"t284": 3}, [PART], "samples"),
        ({"t284": 2, "t277": 3, "t258": [16] * 3, "t262": 2}, [PART * 6], "samples"),
        ({"t339": 3, "t258": 32}, [PART * 4], "floating-point"),
        ({"t339": 2}, [PART], "signed"),
        ({"t258": 32}, [PART * 4], "32-bit"),
        ({"t258": 64}, [PART * 8], "32-bit"),
        ({"t262": 8, "t258": [8] * 3, "t277": 3}, [PART * 3], "CIELAB"),
        ({"t259": 6}, [PART], "old JPEG"),
        ({"t259": 4}, [PART], "fax"),
        ({"t259": 12345}, [PART], "damaged or of an unsupported kind"),
        ({"t256": [6, 6]}, [PART], "tag 256 is not usable"),
        ({"t258": [8] * 300_000}, [PART], "tag 258 is not usable"),
    ],
)
def test_what_a_directory_promises_must_be_there(
    tags: dict[str, int | list[int]], parts: list[bytes], match: str
) -> None:
    refused(tiff([grey_page(6, 4, **tags)], parts), match)


@pytest.mark.parametrize("tag", [256, 257])
def test_a_size_is_required(tag: int) -> None:
    page = grey_page(6, 4)
    del page[tag]
    refused(tiff([page], [PART]), f"lacks its tag {tag}")


def test_values_that_share_their_bytes_are_refused() -> None:
    data = bytearray(tiff([grey_page(6, 4, t320=[1] * 200, t531=[1] * 200)], [PART]))
    entries = [data.index(struct.pack("<HHI", tag, 4, 200)) for tag in (320, 531)]
    for entry in entries:
        struct.pack_into("<I", data, entry + 8, 8)
    end = struct.unpack_from("<I", data, 4)[0]
    short = data[:8] + data[8 : 8 + 900] + data[end:]
    struct.pack_into("<I", short, 4, 908)
    refused(bytes(short), "is cut off")


def test_jpeg_in_tiff_that_was_cut_off_is_an_error() -> None:
    data = saved(Image.fromarray(scene(64, 64)), "TIFF", compression="jpeg")
    with Image.open(io.BytesIO(data)) as picture:
        end = picture.tag_v2[273][-1] + picture.tag_v2[279][-1]  # type: ignore[attr-defined]
    assert decode_image(data, name="part").any()
    refused(data[: end - 200] + bytes(200) + data[end:], "cut off")


def test_too_many_tags_are_refused() -> None:
    header = b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) + struct.pack("<Q", 2**40)
    refused(header, "too many tags")


def test_other_tags_are_left_out() -> None:
    page = grey_page(6, 4) | {34665: 8, 34675: [7] * 1000, 700: 3, 50000: [2**31] * 70_000}
    got = decode_image(tiff([page], [PART]), name="part")
    assert np.array_equal(got[..., 0], GREY)
