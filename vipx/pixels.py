"""From a checked picture file to RGB: every pixel format has one defined result."""

import io

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from vipx.containers import Container, UnusableImageError, has_all_rows

__all__ = ["rgb_from_container"]

_READERS: dict[str, type[ImageFile]] = {
    "BMP": BmpImageFile,
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "TIFF": TiffImageFile,
}
_SIDE_MOST = 65_535  # px; the most that JPEG can say
_BLOCK_PIXELS = 2**20  # pictures are converted in bands of rows of this size, to bound the memory


def rgb_from_container(
    container: Container, max_pixels: int, *, full_range: bool
) -> UInt8[ndarray, "height width 3"]:
    """Decode a picture to RGB, upright.

    Args:
        container: the file, checked.
        max_pixels: a larger picture is refused before any pixel is decoded.
        full_range: False for masks, where each 16-bit value but 0 becomes 255.
    """
    _check_size(container, max_pixels)
    # Not Image.open: it consults every plugin there is, and warns by a limit of its own.
    image = _READERS[container.kind](io.BytesIO(container.data))
    if image.size != (container.width, container.height):
        raise UnusableImageError("the file gives two sizes; save it again")
    image.load()
    _check_rows(image, container)
    rgb = _rgb_from_pillow(image, _grey_levels(container, full_range=full_range))
    return _upright(rgb, container.orientation)


def _check_size(container: Container, max_pixels: int) -> None:
    width, height = container.width, container.height
    most = min(max_pixels, Image.MAX_IMAGE_PIXELS or max_pixels)
    if min(width, height) < 1:
        raise UnusableImageError("the picture has no pixels; copy or record it again")
    if width * height > most or max(width, height) > _SIDE_MOST:
        raise UnusableImageError(
            f"{width} x {height} px are more than the limit of {most:,} pixels, "
            f"{_SIDE_MOST:,} a side; crop or shrink the picture"
        )


def _check_rows(image: Image.Image, container: Container) -> None:
    # Counting costs half as much as decoding, so it is left to the files whose last row is black.
    last = image.crop((0, image.height - 1, image.width, image.height))
    suspicious = container.interlaced or not np.asarray(last).any()
    if container.kind == "PNG" and suspicious and not has_all_rows(container):
        raise UnusableImageError("the PNG lacks rows; copy or record it again")


def _grey_levels(container: Container, *, full_range: bool) -> UInt8[ndarray, "values"]:
    """The 8-bit grey of each value of a 9- to 16-bit file."""
    full = 2**container.depth - 1
    values = np.arange(full + 1, dtype=np.uint32)
    levels = (values * 255 + full // 2) // full if full_range else np.minimum(values, 1) * 255
    return (levels[::-1] if container.inverted else levels).astype(np.uint8)


def _rgb_from_pillow(
    image: Image.Image, levels: UInt8[ndarray, "values"]
) -> UInt8[ndarray, "height width 3"]:
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _BLOCK_PIXELS // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        block = image.crop((0, top, image.width, bottom))
        if block.mode.startswith("I"):
            rgb[top:bottom] = levels[np.asarray(block)][..., None]  # (rows, width, 1)
        else:
            rgb[top:bottom] = np.asarray(_rgb_block(block))
    return rgb


def _rgb_block(block: Image.Image) -> Image.Image:
    if block.mode in ("P", "PA"):
        _check_palette(block)
    if not block.has_transparency_data:
        return block.convert("RGB")
    # Over black: colours under transparent pixels are whatever the program left there.
    rgba = (block.convert("LA") if block.mode == "La" else block).convert("RGBA")
    canvas = Image.new("RGB", block.size)
    canvas.paste(rgba, mask=rgba)
    return canvas


def _check_palette(block: Image.Image) -> None:
    colours = len(block.getpalette() or ()) // 3
    if np.asarray(block.getchannel(0)).max() >= colours:
        raise UnusableImageError("a pixel's colour is not in the palette; save it as RGB")


def _upright(
    rgb: UInt8[ndarray, "height width 3"], orientation: int
) -> UInt8[ndarray, "new_height new_width 3"]:
    """Apply an EXIF orientation: 2 to 4 flip, 5 to 8 swap rows and columns as well."""
    if orientation in (5, 6, 7, 8):
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)
