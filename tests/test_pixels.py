import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image, ImageCms, ImageOps

from tests.pictures import chunk, grey_page, noise, pillow_13, png, saved, scene, tiff
from vipx.errors import ImageError
from vipx.images import decode_image


def decoded(data: bytes) -> UInt8[ndarray, "h w 3"]:
    return decode_image(data, name="part")


def grey_rgb(grey: ndarray) -> ndarray:
    return np.repeat(grey[..., None], 3, axis=-1)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_8_bit_rgb_and_grey_come_out_as_they_are(kind: str) -> None:
    rgb = noise(37, 53)
    assert np.array_equal(decoded(saved(Image.fromarray(rgb), kind)), rgb)
    grey = rgb[..., 0]
    assert np.array_equal(decoded(saved(Image.fromarray(grey), kind)), grey_rgb(grey))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_is_what_pillow_decodes(options: dict[str, object]) -> None:
    data = saved(Image.fromarray(scene(37, 53)), "JPEG", **options)
    assert np.array_equal(decoded(data), np.asarray(Image.open(io.BytesIO(data))))
    data = saved(Image.fromarray(scene(37, 53)).convert("L"), "JPEG", **options)
    assert np.array_equal(decoded(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_result_is_writable_and_contiguous() -> None:
    rgb = decoded(saved(Image.fromarray(noise(8, 9)), "PNG", exif=orientation_exif(6)))
    assert rgb.flags.writeable
    assert rgb.flags.c_contiguous


def test_a_picture_of_several_blocks_is_whole() -> None:
    rgb = noise(1100, 1000)
    assert np.array_equal(decoded(saved(Image.fromarray(rgb), "BMP")), rgb)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_1_bit_becomes_0_and_255(kind: str) -> None:
    bits = noise(11, 19)[..., 0] > 128
    data = saved(Image.fromarray(bits), kind)
    assert np.array_equal(decoded(data), grey_rgb(bits.astype(np.uint8) * 255))


@pytest.mark.parametrize(("depth", "factor"), [(2, 85), (4, 17)])
def test_2_and_4_bit_grey_spread_over_the_whole_range(depth: int, factor: int) -> None:
    packed = b"\0\x1b"  # 0, 1, 2, 3 of 2 bits; 1, 11 of 4
    values = [0, 1, 2, 3] if depth == 2 else [1, 11]
    rgb = decoded(png(len(values), 1, packed, depth=depth, colours=0))
    assert rgb[0, :, 0].tolist() == [value * factor for value in values]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_palettes_are_expanded(kind: str) -> None:
    picture = Image.fromarray(scene(40, 40)).quantize(37)
    assert np.array_equal(decoded(saved(picture, kind)), np.asarray(picture.convert("RGB")))


def test_colour_that_is_not_in_the_palette_is_an_error() -> None:
    palette = chunk(b"PLTE", b"\xff\0\0\0\xff\0")
    assert decoded(png(2, 1, b"\0\0\1", colours=3, extra=palette))[0, 1].tolist() == [0, 255, 0]
    with pytest.raises(ImageError, match="not in the palette"):
        decoded(png(2, 1, b"\0\0\2", colours=3, extra=palette))
    with pytest.raises(ImageError, match="lacks its palette"):
        decoded(png(2, 1, b"\0\0\1", colours=3))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_transparent_pixels_lie_over_black(kind: str) -> None:
    rgba = noise(16, 16, 4)
    rgba[:4, :, 3], rgba[4:8, :, 3] = 0, 255
    rgb = decoded(saved(Image.fromarray(rgba), kind))
    exact = rgba[..., :3] * (rgba[..., 3:] / 255)
    assert np.abs(rgb - exact).max() <= 1
    assert not rgb[:4].any(), "a hidden colour leaked"
    assert np.array_equal(rgb[4:8], rgba[4:8, :, :3]), "an opaque colour changed"


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_with_alpha_lies_over_black(kind: str) -> None:
    grey_alpha = noise(16, 16, 2)
    rgb = decoded(saved(Image.fromarray(grey_alpha, "LA"), kind))
    exact = grey_alpha[..., :1] * (grey_alpha[..., 1:] / 255)
    assert np.abs(rgb - exact).max() <= 1


@pillow_13
def test_premultiplied_alpha_is_the_same_picture() -> None:
    page = grey_page(2, 1, t258=[8] * 4, t262=2, t277=4, t338=1)
    rgb = decoded(tiff([page], [bytes([50, 60, 70, 128, 0, 0, 0, 0])]))
    assert np.abs(rgb[0].astype(int) - [[50, 60, 70], [0, 0, 0]]).max() <= 1
    page = grey_page(2, 1, t258=[8] * 2, t277=2, t338=1)
    rgb = decoded(tiff([page], [bytes([50, 128, 0, 0])]))
    assert np.abs(rgb[0].astype(int) - [[50] * 3, [0] * 3]).max() <= 1


def test_samples_beyond_rgb_that_are_not_alpha_are_left_out() -> None:
    page = grey_page(1, 1, t258=[8] * 4, t262=2, t277=4, t338=0)
    assert decoded(tiff([page], [bytes([50, 60, 70, 3])]))[0, 0].tolist() == [50, 60, 70]


@pytest.mark.parametrize("transparency", [b"\xff\0", b"\xff\x80", b"\0"])
def test_transparent_palette_entries_lie_over_black(transparency: bytes) -> None:
    extra = chunk(b"PLTE", bytes([200, 0, 0, 0, 200, 100])) + chunk(b"tRNS", transparency)
    rgb = decoded(png(2, 1, b"\0\0\1", colours=3, extra=extra))[0]
    alphas = [*transparency, 255][:2]
    exact = np.array([[200, 0, 0], [0, 200, 100]]) * np.array(alphas)[:, None] / 255
    assert np.abs(rgb - exact).max() <= 1


def test_palette_with_alpha_in_tiff() -> None:
    colours = [200 << 8, 0, *[0] * 254, 0, 150 << 8, *[0] * 254, 0, 0, *[0] * 254]
    page = grey_page(2, 1, t258=[8, 8], t262=3, t277=2, t320=colours, t338=2)
    rgb = decoded(with_short_palette(tiff([page], [bytes([0, 255, 1, 0])])))
    assert rgb[0].tolist() == [[200, 0, 0], [0, 0, 0]]


def with_short_palette(data: bytes) -> bytes:
    """The colour map has SHORT values in every TIFF; the builder writes LONG."""
    entry = data.index(struct.pack("<HHI", 320, 4, 768))
    (place,) = struct.unpack_from("<I", data, entry + 8)
    values = struct.unpack_from("<768I", data, place)
    shorts = struct.pack("<768H", *values).ljust(768 * 4, b"\0")
    data = data[:place] + shorts + data[place + 768 * 4 :]
    return data[:entry] + struct.pack("<HHI", 320, 3, 768) + data[entry + 8 :]


@pytest.mark.parametrize(("colours", "key"), [(0, b"\0\x32"), (2, b"\0\x32\0\x32\0\x32")])
def test_transparent_colour_of_8_bits_is_black(colours: int, key: bytes) -> None:
    bands = 3 if colours else 1
    rows = b"\0" + b"\x32" * bands + b"\x33" * bands
    rgb = decoded(png(2, 1, rows, colours=colours, extra=chunk(b"tRNS", key)))
    assert rgb[0].tolist() == [[0, 0, 0], [0x33] * 3]


@pytest.mark.parametrize("depth", [1, 2, 4, 16])
def test_transparent_colour_of_other_depths_is_refused(depth: int) -> None:
    with pytest.raises(ImageError, match=f"transparent colour in a PNG of {depth} bits"):
        decoded(png(1, 1, b"\0\0\0", depth=depth, colours=0, extra=chunk(b"tRNS", b"\0\0")))


def rounded(values: ndarray, full: int) -> ndarray:
    return np.floor(values.astype(np.float64) * 255 / full + 0.5).astype(np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_16_bit_grey_is_scaled_and_rounded(kind: str, big_endian: bool) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    mode, raw = ("I;16B", ">u2") if big_endian else ("I;16", "<u2")
    if kind == "PNG":
        mode, raw = "I;16", "<u2"  # the format itself is big-endian
    picture = Image.frombytes(mode, (256, 256), values.astype(raw).tobytes())
    assert np.array_equal(decoded(saved(picture, kind)), grey_rgb(rounded(values, 65535)))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_16_bit_grey(compression: str) -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    picture = Image.frombytes("I;16", (256, 256), values.astype("<u2").tobytes())
    data = saved(picture, "TIFF", compression=compression)
    assert np.array_equal(decoded(data), grey_rgb(rounded(values, 65535)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [False, True])
def test_16_bit_grey_where_0_is_white(order: str, compressed: bool) -> None:
    values = np.array([[0, 257, 65535, 1000]], np.uint16)
    raw = values.astype(order + "u2").tobytes()
    page = grey_page(4, 1, t258=16, t262=0, t259=8 if compressed else 1)
    rgb = decoded(tiff([page], [zlib.compress(raw) if compressed else raw], order=order))
    assert np.array_equal(rgb, grey_rgb(255 - rounded(values, 65535)))


def test_8_bit_grey_where_0_is_white() -> None:
    rgb = decoded(tiff([grey_page(3, 1, t262=0)], [bytes([0, 1, 255])]))
    assert rgb[0, :, 0].tolist() == [255, 254, 0]


def test_12_bit_grey_fills_the_range() -> None:
    rgb = decoded(tiff([grey_page(2, 1, t258=12)], [bytes([0xFF, 0xF8, 0x00])]))
    assert rgb[0, :, 0].tolist() == [255, 128]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_rgb_keeps_the_high_byte(kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), np.uint16)
    if kind == "PNG":
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        data = png(7, 5, rows, depth=16)
    else:
        page = grey_page(7, 5, t258=[16] * 3, t262=2, t277=3)
        data = tiff([page], [values.astype("<u2").tobytes()])
    assert np.array_equal(decoded(data), (values >> 8).astype(np.uint8))


@pytest.mark.parametrize(("colours", "bands"), [(4, 2), (6, 4)])
def test_16_bit_png_with_alpha(colours: int, bands: int) -> None:
    values = np.array([51200, 25600, 12800, 65535][-bands:], ">u2")
    rgb = decoded(png(1, 1, b"\0" + values.tobytes(), depth=16, colours=colours))
    expected = [50] * 3 if bands == 2 else [200, 100, 50]
    assert rgb[0, 0].tolist() == expected


def test_cmyk_in_jpeg_and_tiff() -> None:
    picture = Image.fromarray(scene(32, 32)).convert("CMYK")
    assert np.array_equal(decoded(saved(picture, "TIFF")), np.asarray(picture.convert("RGB")))
    data = saved(picture, "JPEG", quality=95, subsampling=0)
    assert b"Adobe" in data, "Photoshop's inverted convention"
    assert np.abs(decoded(data).astype(int) - scene(32, 32)).max() <= 12


def test_ycck_jpeg_is_cmyk_in_other_coordinates() -> None:
    picture = Image.fromarray(scene(32, 32)).convert("CMYK")
    data = saved(picture, "JPEG", quality=95, subsampling=0)
    place = data.index(b"Adobe") + 11
    ycck = data[:place] + b"\2" + data[place + 1 :]  # the same bytes, declared as YCCK
    assert np.array_equal(decoded(ycck), np.asarray(Image.open(io.BytesIO(ycck)).convert("RGB")))
    assert not np.array_equal(decoded(ycck), decoded(data))


@pillow_13
def test_ycbcr_tiff() -> None:
    picture = Image.fromarray(scene(32, 32)).convert("YCbCr")
    assert np.array_equal(decoded(saved(picture, "TIFF")), np.asarray(picture.convert("RGB")))
    page = grey_page(2, 2, t258=[8] * 3, t262=6, t277=3)
    with pytest.raises(ImageError, match="subsampled"):
        decoded(tiff([page], [bytes(12)]))


@pytest.mark.parametrize("mode", ["I", "F", "LAB"])
def test_32_bit_and_lab_tiff_are_refused(mode: str) -> None:
    with pytest.raises(ImageError, match="save it"):
        decoded(saved(Image.new(mode, (8, 8)), "TIFF"))


def test_icc_profiles_change_nothing() -> None:
    rgb = scene(16, 16)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for kind in ("PNG", "TIFF"):
        data = saved(Image.fromarray(rgb), kind, icc_profile=profile)
        assert np.array_equal(decoded(data), rgb)
    plain = saved(Image.fromarray(rgb), "JPEG")
    profiled = saved(Image.fromarray(rgb), "JPEG", icc_profile=profile)
    assert np.array_equal(decoded(profiled), decoded(plain))


def test_32_bit_bmp_has_no_alpha() -> None:
    header = struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, 32, 0, 4, 0, 0, 0, 0)
    data = b"BM" + struct.pack("<IHHI", 58, 0, 0, 54) + header + bytes([1, 2, 3, 0])
    assert decoded(data)[0, 0].tolist() == [3, 2, 1]


def test_bmp_rle_and_top_down() -> None:
    header = struct.pack("<IiiHHIIiiII", 40, 4, 2, 1, 8, 1, 8, 0, 0, 2, 0)
    palette = bytes([0, 0, 255, 0, 255, 0, 0, 0])
    packed = b"\4\0\0\0\4\1\0\1"
    data = b"BM" + struct.pack("<IHHI", 62 + len(packed), 0, 0, 62) + header + palette + packed
    assert decoded(data)[:, 0].tolist() == [[0, 0, 255], [255, 0, 0]]
    header = struct.pack("<IiiHHIIiiII", 40, 1, -2, 1, 24, 0, 8, 0, 0, 0, 0)
    data = b"BM" + struct.pack("<IHHI", 62, 0, 0, 54) + header + b"\1\1\1\0\2\2\2\0"
    assert decoded(data)[:, 0, 0].tolist() == [1, 2]


def orientation_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    picture = Image.fromarray(scene(24, 40))
    plain = Image.open(io.BytesIO(saved(picture, kind)))
    upright = Image.fromarray(np.asarray(plain))
    upright.getexif()[0x0112] = orientation
    data = saved(picture, kind, exif=orientation_exif(orientation))
    assert np.array_equal(decoded(data), np.asarray(ImageOps.exif_transpose(upright)))


@pytest.mark.parametrize("exif", [b"", b"II", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\1\0"])
def test_exif_that_cannot_be_read_leaves_the_picture_as_stored(exif: bytes) -> None:
    rgb = scene(8, 12)
    data = png(12, 8, b"".join(b"\0" + row.tobytes() for row in rgb), extra=chunk(b"eXIf", exif))
    assert np.array_equal(decoded(data), rgb)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 3), (5, 8), (9, 9)])
def test_adam7_png_of_any_size(width: int, height: int, interlaced: bool) -> None:
    passes = ["0088", "4088", "0448", "2044", "0224", "1022", "0112"] if interlaced else ["0011"]
    rows = b""
    for x, y, right, down in (map(int, each) for each in passes):
        columns = len(range(x, width, right))
        rows += bytes(1 + 3 * columns) * len(range(y, height, down)) if columns else b""
    assert not decoded(png(width, height, rows, interlaced=interlaced)).any()
    with pytest.raises(ImageError, match=r"lacks rows|truncated"):
        decoded(png(width, height, rows[:-1], interlaced=interlaced))


@pytest.mark.parametrize("missing", [1, 4, 7])
def test_png_whose_data_ends_after_some_rows_is_an_error(missing: int) -> None:
    rows = (b"\0" + b"\x77" * 24) * (8 - missing)
    with pytest.raises(ImageError, match="lacks rows"):
        decoded(png(8, 8, rows))


@pytest.mark.parametrize(
    "compression",
    ["raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "lzma", "zstd"],
)
def test_compressed_tiff_is_lossless(compression: str) -> None:
    rgb = noise(41, 67)
    data = saved(Image.fromarray(rgb), "TIFF", compression=compression)
    assert np.array_equal(decoded(data), rgb)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_fax_compressed_tiff_is_refused_as_its_damage_cannot_be_seen(compression: str) -> None:
    bits = scene(32, 64)[..., 0] > 100
    with pytest.raises(ImageError, match="fax"):
        decoded(saved(Image.fromarray(bits), "TIFF", compression=compression))


def test_jpeg_compressed_tiff() -> None:
    rgb = scene(64, 64)
    data = saved(Image.fromarray(rgb), "TIFF", compression="jpeg", quality=95)
    assert np.abs(decoded(data).astype(int) - rgb).max() < 20


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
def test_tiled_tiff(order: str, big: bool, compressed: bool) -> None:
    grey = noise(20, 40)[..., 0]
    padded = np.zeros((32, 48), np.uint8)
    padded[:20, :40] = grey
    tiles = [padded[y : y + 16, x : x + 16].tobytes() for y in (0, 16) for x in (0, 16, 32)]
    tiles = [zlib.compress(tile) for tile in tiles] if compressed else tiles
    page = grey_page(40, 20, t259=8 if compressed else 1, t322=16, t323=16)
    data = tiff([page], tiles, order=order, big=big, tiles=True)
    assert np.array_equal(decoded(data), grey_rgb(grey))


@pytest.mark.parametrize("compressed", [False, True])
def test_planar_tiff(compressed: bool) -> None:
    rgb = noise(5, 7)
    planes = [rgb[..., band].tobytes() for band in range(3)]
    planes = [zlib.compress(plane) for plane in planes] if compressed else planes
    page = grey_page(7, 5, t258=[8] * 3, t259=8 if compressed else 1, t262=2, t277=3, t284=2)
    assert np.array_equal(decoded(tiff([page], planes)), rgb)


def test_read_pictures_of_the_shared_data_equal_pillow() -> None:
    folder = Path("/work/shared/data")
    if not folder.is_dir():
        pytest.skip("the shared pictures are not on this machine")
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix in (".png", ".jpg")]
    for path in paths[::40]:
        with Image.open(path) as picture:
            if picture.mode in ("L", "RGB"):
                assert np.array_equal(
                    decoded(path.read_bytes()), np.asarray(picture.convert("RGB"))
                )
