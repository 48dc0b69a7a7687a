import io
import random
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pictures import chunk, grey_page, noise, packed_zeros, png, png_bomb, saved, scene, tiff
from vipx.errors import ImageError
from vipx.images import decode_image, read_image

PICTURE = Image.fromarray(scene(40, 56))
GREY_16 = Image.frombytes("I;16", (56, 40), noise(40, 56, 2).tobytes())


def corpus() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = PICTURE.copy()
    alpha.putalpha(120)
    return {
        "rgb.png": saved(PICTURE, "PNG", exif=exif),
        "palette.png": saved(PICTURE.quantize(20), "PNG"),
        "alpha.png": saved(alpha, "PNG"),
        "grey16.png": saved(GREY_16, "PNG"),
        "rgb.jpg": saved(PICTURE, "JPEG", exif=exif),
        "progressive.jpg": saved(PICTURE, "JPEG", progressive=True),
        "cmyk.jpg": saved(PICTURE.convert("CMYK"), "JPEG"),
        "rgb.bmp": saved(PICTURE, "BMP"),
        "palette.bmp": saved(PICTURE.quantize(20), "BMP"),
        "bits.bmp": saved(PICTURE.convert("1"), "BMP"),
        "rgb.tif": saved(PICTURE, "TIFF", exif=exif),
        "lzw.tif": saved(PICTURE, "TIFF", compression="tiff_lzw"),
        "deflate.tif": saved(GREY_16, "TIFF", compression="tiff_adobe_deflate"),
        "jpeg.tif": saved(PICTURE, "TIFF", compression="jpeg"),
        "bits.tif": saved(PICTURE.convert("1"), "TIFF", compression="tiff_lzw"),
        "packbits.tif": saved(PICTURE.quantize(20), "TIFF", compression="packbits"),
    }


CORPUS = corpus()


def refused(data: bytes, *, match: str) -> None:
    with pytest.raises(ImageError, match=match) as caught:
        decode_image(data, name="part 7")
    assert str(caught.value).startswith("part 7: ")
    assert "\n" not in str(caught.value)


def answer(data: bytes) -> np.ndarray | None:
    """The picture, or None where it is refused; a warning fails the test even inside vipx."""
    got, said = None, ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            got = decode_image(data, name="part")
        except ImageError as error:
            said = str(error)
    assert not caught, [str(each.message) for each in caught]
    assert said.isprintable()
    return got


@pytest.mark.parametrize("name", CORPUS)
def test_a_file_cut_off_anywhere_is_an_error_and_never_half_a_picture(name: str) -> None:
    data = CORPUS[name]
    whole = decode_image(data, name=name)
    cuts = {
        *range(0, len(data), max(1, len(data) // 150)),
        *range(max(0, len(data) - 40), len(data)),
    }
    for cut in sorted(cuts):
        got = answer(data[:cut])
        # Some writers end a file with bytes that no reader needs.
        assert got is None or np.array_equal(got, whole), f"{name} cut at {cut} of {len(data)}"


@pytest.mark.parametrize("name", [name for name in CORPUS if name.endswith((".png", ".jpg"))])
def test_a_png_or_jpeg_cut_off_by_one_byte_is_an_error(name: str) -> None:
    refused(CORPUS[name][:-1], match="cut off or damaged")


@pytest.mark.parametrize(
    "name",
    [name for name in CORPUS if name.endswith((".png", ".jpg"))] + ["lzw.tif", "deflate.tif"],
)
def test_a_file_that_ends_in_zeros_is_an_error_and_never_half_a_picture(name: str) -> None:
    half = len(CORPUS[name]) // 2
    assert answer(CORPUS[name][:half] + bytes(len(CORPUS[name]) - half)) is None


@pytest.mark.parametrize("name", CORPUS)
def test_mutated_files_give_a_picture_or_an_image_error(name: str) -> None:
    chance = random.Random(name)
    for _ in range(40):
        data = bytearray(CORPUS[name])
        for _ in range(chance.choice([1, 1, 2, 8])):
            place = chance.randrange(chance.choice([64, len(data)]))
            data[place] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        if chance.random() < 0.2:
            del data[chance.randrange(len(data)) :]
        got = answer(bytes(data))
        assert got is None or (got.dtype == np.uint8 and got.shape[2:] == (3,))


def test_mutated_tiff_directories_give_a_picture_or_an_image_error() -> None:
    chance = random.Random(1)
    names = [name for name in CORPUS if name.endswith(".tif")]
    for _ in range(300):
        data = bytearray(CORPUS[chance.choice(names)])
        (start,) = struct.unpack_from("<I", data, 4)
        (count,) = struct.unpack_from("<H", data, start)
        place = start + 2 + 12 * chance.randrange(count)
        field, size = chance.choice([(0, 2), (2, 2), (4, 4), (8, 4), (8, 2)])
        value = chance.choice(
            [0, 1, 2, 3, 6, 8, 255, 65535, 2**31, 2**32 - 1, chance.randrange(700)]
        )
        data[place + field : place + field + size] = value.to_bytes(4, "little")[:size]
        got = answer(bytes(data))
        assert got is None or got.dtype == np.uint8


@pytest.mark.parametrize("place", ["header", "pixels", "end"])
def test_png_with_a_wrong_checksum_is_an_error(place: str) -> None:
    data = bytearray(CORPUS["rgb.png"])
    data[{"header": 30, "pixels": data.index(b"IDAT") + 40, "end": len(data) - 1}[place]] ^= 1
    refused(bytes(data), match="a checksum of the PNG is wrong")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty"),
        (b"this was renamed to part.png\n", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (bytes(1000), "not a picture"),
        (saved(PICTURE, "GIF"), "a GIF"),
        (saved(PICTURE, "WEBP"), "a WebP picture"),
        (b"\0\0\0\x1cftypheic", "a HEIC picture"),
        (b"\0\0\0\x1cftypavif", "an AVIF picture"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
        (b"MM\0+\0\x08\0\0", "a big-endian BigTIFF"),
        (saved(PICTURE, "PPM"), "not a picture"),
        (saved(PICTURE, "ICO"), "not a picture"),
    ],
)
def test_other_files_are_named_for_what_they_are(data: bytes, kind: str) -> None:
    refused(data, match=kind)


@pytest.mark.parametrize(
    "start", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*"]
)
def test_a_signature_without_a_file_is_an_error(start: bytes) -> None:
    for rest in (b"", b"\0", bytes(100), b"\xff" * 100):
        refused(start + rest, match="damaged|cut off|save it again|no pixels|checksum|lacks")


def test_png_animations_are_refused_and_a_single_frame_is_not() -> None:
    rows = b"\0\x10\x20\x30"
    for frames in (1, 2):
        control = chunk(b"acTL", struct.pack(">II", frames, 0))
        data = png(1, 1, rows, extra=control)
        if frames == 1:
            assert decode_image(data, name="part")[0, 0].tolist() == [0x10, 0x20, 0x30]
        else:
            refused(data, match="animation")


def test_png_with_two_headers_is_an_error() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0))
    refused(png(1, 1, b"\0\0\0\0", extra=header), match="cut off or damaged")


def test_png_text_and_profiles_are_not_even_inflated() -> None:
    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2**26)))
    profile = chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(2**26)))
    data = png(1, 1, b"\0\1\2\3", extra=profile + text * 100, tail=text)
    assert decode_image(data, name="part")[0, 0].tolist() == [1, 2, 3]


def test_png_of_too_many_parts_is_refused() -> None:
    refused(png(1, 1, b"\0\1\2\3", extra=chunk(b"tEXt", b"") * 2**17), match="too many parts")


def test_jpeg_metadata_is_left_out() -> None:
    data = CORPUS["progressive.jpg"]
    comment = b"\xff\xfe\xff\xff" + bytes(65533)
    exif = b"\xff\xe1\xff\xff" + b"Exif\0\0" + bytes(65527)
    stuffed = data[:2] + comment * 100 + exif * 100 + data[2:]
    assert np.array_equal(decode_image(stuffed, name="a"), decode_image(data, name="b"))
    refused(data[:2] + b"\xff\xfe\0\2" * 5000 + data[2:], match="too many parts")


def test_jpeg_of_too_many_scans_is_refused() -> None:
    data = CORPUS["progressive.jpg"]
    last = data.rindex(b"\xff\xda")
    refused(data[:-2] + data[last:-2] * 120 + b"\xff\xd9", match="too many scans")


def test_jpeg_may_be_followed_by_other_data() -> None:
    data = CORPUS["rgb.jpg"]
    assert np.array_equal(decode_image(data + data, name="a"), decode_image(data, name="b"))


def test_jpeg_with_a_second_picture_gives_the_first() -> None:
    file = io.BytesIO()
    PICTURE.save(file, "MPO", save_all=True, append_images=[Image.new("RGB", (56, 40))])
    got = decode_image(file.getvalue(), name="part")
    assert np.array_equal(got, np.asarray(Image.open(io.BytesIO(file.getvalue()))))


@pytest.mark.parametrize(
    ("width", "height"), [(0, 1), (1, 0), (30000, 30000), (1, 1_000_000), (8000, 5001)]
)
def test_size_is_checked_in_the_header(width: int, height: int) -> None:
    for data in (
        png(width, height, b""),
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 54, 40, width, height, 1, 24, *[0] * 6),
        tiff([grey_page(width, height, t278=max(height, 1))], [bytes(8)]) if height else b"BM",
    ):
        refused(data, match="no pixels|more than the limit|damaged|lacks rows")
    if width * height > 1_000_000:
        refused(png(width, height, b""), match="more than the limit of 40,000,000 pixels")


def test_limit_is_the_caller_s_and_pillow_s_own_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    data = png(10, 10, (b"\0" + b"\1" * 30) * 10)
    assert decode_image(data, name="part", max_pixels=100).shape == (10, 10, 3)
    with pytest.raises(ImageError, match="10 x 10 px are more than the limit of 99 pixels"):
        decode_image(data, name="part", max_pixels=99)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    assert answer(data) is None
    assert Image.MAX_IMAGE_PIXELS == 50
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert answer(data) is not None


def test_file_size_is_limited(tmp_path: Path) -> None:
    path = tmp_path / "part.png"
    path.write_bytes(png(1, 1, b"\0\1\2\3") + bytes(2**24))
    with pytest.raises(ImageError, match="the limit is"):
        read_image(path, max_pixels=1)
    with pytest.raises(ImageError, match="the limit is"):
        decode_image(path.read_bytes(), name="part", max_pixels=1)


GROWTH = """
import resource, sys
from PIL import Image
from vipx.errors import ImageError
from vipx.images import read_image
read_image(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[2:]:
    try:
        read_image(path)
    except ImageError as error:
        print(error, file=sys.stderr)
    else:
        raise SystemExit("read " + path)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts KiB on Linux only")
def test_bombs_cost_no_memory(tmp_path: Path) -> None:
    files = {
        "fine.png": CORPUS["rgb.png"],
        "side.png": png_bomb(30_000),
        "line.png": png(1, 1_000_000, b""),
        "tiles.tif": tiff(
            [grey_page(100, 100, t259=8, t322=30_000, t323=30_000)],
            [packed_zeros(900_000_000)],
            tiles=True,
        ),
        "offsets.tif": tiff([grey_page(100, 100)], [b"\1"] * 2**19),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    result = subprocess.run(
        [sys.executable, "-c", GROWTH, *(str(tmp_path / name) for name in files)],
        cwd=Path(__file__).parents[1],
        env={"PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 64, f"{result.stdout} MiB"
