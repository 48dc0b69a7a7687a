"""Read pictures within bounds, and the one resize that training, calibration and the line share.

docs/images.md lists what each pixel format becomes. No warning filter and no limit of Pillow is
changed, so pictures may be decoded in any number of threads.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray
from PIL import Image

from vipx.containers import UnusableImageError, inspect_container
from vipx.errors import ImageError, InputError
from vipx.pixels import rgb_from_container

__all__ = [
    "MAX_PIXELS",
    "ImageListing",
    "ListedImage",
    "decode_image",
    "is_image_name",
    "list_images",
    "read_image",
    "read_mask",
    "resize_image",
    "resize_mask",
    "resizes_rows_first",
]

MAX_PIXELS: Final = 40_000_000
_BYTES_PER_PIXEL_MOST = 8  # four channels of 16 bits, not compressed
_METADATA_BYTES_MOST = 2**24

_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
# Listed as well, so that such a file is answered with an error and not left out in silence.
_REFUSED_SUFFIXES = (".avif", ".gif", ".heic", ".heif", ".jp2", ".webp")


@dataclass(frozen=True, slots=True)
class ListedImage:
    """One picture to read.

    Attributes:
        path: where it is.
        relative: its path below the folder that was given, or its bare name.
    """

    path: Path
    relative: Path


@dataclass(frozen=True, slots=True)
class ImageListing:
    """What a list of files and folders comes to.

    Attributes:
        images: in the order given, each folder's by name.
        passed_over: entries of folders left out: other files, hidden ones, links to folders.
    """

    images: tuple[ListedImage, ...]
    passed_over: int


def read_image(
    path: str | Path, *, max_pixels: int = MAX_PIXELS
) -> UInt8[ndarray, "height width 3"]:
    """Read a PNG, JPEG, BMP or TIFF file as RGB at its own size, upright.

    Args:
        path: the file; it is opened once.
        max_pixels: a larger picture is refused before any pixel is decoded.

    Raises:
        ImageError: the file cannot be read, or is not a whole picture in a supported format.
    """
    with _errors_named(str(path)):
        container = inspect_container(_read_file(path, max_pixels))
        return rgb_from_container(container, max_pixels, full_range=True)


def decode_image(
    data: bytes, *, name: str, max_pixels: int = MAX_PIXELS
) -> UInt8[ndarray, "height width 3"]:
    """Decode the bytes of a file as `read_image` does.

    Args:
        data: the whole file.
        name: what the picture is called in errors.
        max_pixels: a larger picture is refused before any pixel is decoded.

    Raises:
        ImageError: the bytes are not a whole picture in a supported format.
    """
    with _errors_named(name):
        _check_bytes(len(data), max_pixels)
        return rgb_from_container(inspect_container(data), max_pixels, full_range=True)


def read_mask(
    path: str | Path, *, above: int = 0, max_pixels: int = MAX_PIXELS
) -> Bool[ndarray, "height width"]:
    """Read a ground-truth mask at its own size: true where its grey value is above `above`.

    Args:
        path: the file; it is opened once.
        above: 0 for exact masks, 127 for JPEG ones, whose black is not quite black.
        max_pixels: a larger picture is refused before any pixel is decoded.

    Raises:
        ImageError: as in `read_image`.
    """
    with _errors_named(str(path)):
        container = inspect_container(_read_file(path, max_pixels))
        rgb = rgb_from_container(container, max_pixels, full_range=False)
        return np.asarray(Image.fromarray(rgb).convert("L")) > above


def resize_image(
    image: UInt8[ndarray, "_ _ 3"], *, height: int, width: int
) -> UInt8[ndarray, "{height} {width} 3"]:
    """Scale RGB to exactly `height` x `width` px, bicubic and antialiased; the same on every Pillow.

    The aspect ratio may change. An image of this size is returned as it is, not copied.
    """
    if image.shape[:2] == (height, width):
        return image
    return np.array(_resized(Image.fromarray(image), height, width, Image.Resampling.BICUBIC))


def resize_mask(
    mask: Bool[ndarray, "_ _"], *, height: int, width: int
) -> Bool[ndarray, "{height} {width}"]:
    """Scale a mask to `height` x `width` px: bilinear, antialiased, true above one half."""
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(_resized(grey, height, width, Image.Resampling.BILINEAR)) > 127


def _resized(image: Image.Image, height: int, width: int, method: Image.Resampling) -> Image.Image:
    rows_first = resizes_rows_first((image.height, image.width), (height, width))
    between = (width, image.height) if rows_first else (image.width, height)
    return image.resize(between, method).resize((width, height), method)


def resizes_rows_first(before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Say which axis a resize from one (height, width) to another takes first: that of Pillow 13.

    The levels are rounded in between, so the order shows: a score of the shared goldens moves by 4.5e-3. Up to
    version 12, the last for Python 3.10, Pillow itself always takes rows first.
    """
    shorter, narrower = before[0] - after[0], before[1] - after[1]
    return shorter <= max(0, 2 * narrower)


def list_images(paths: Sequence[Path]) -> ImageListing:
    """Expand files and folders to the pictures in them, in the order given.

    A file is taken whatever its name, even if it does not exist: its error arises when it is read,
    and the other pictures are still answered. Folders are searched to the bottom for names that end
    like pictures; names that start with a dot are passed over, links to folders are not followed.

    Raises:
        InputError: a folder cannot be listed, or there is no picture in it.
    """
    images: list[ListedImage] = []
    passed_over = 0
    for path in paths:
        if not path.is_dir():
            images.append(ListedImage(path, Path(path.name)))
            continue
        found = _list_folder(path)
        images.extend(found.images)
        passed_over += found.passed_over
    return ImageListing(tuple(images), passed_over)


def _list_folder(folder: Path) -> ImageListing:
    relatives: list[Path] = []
    passed_over = 0
    for place, folders, files in os.walk(folder, onerror=_refuse_folder):
        here = Path(place)
        inner = [
            name for name in folders if not name.startswith(".") and not (here / name).is_symlink()
        ]
        taken = [name for name in files if is_image_name(name)]
        passed_over += len(folders) - len(inner) + len(files) - len(taken)
        relatives.extend((here / name).relative_to(folder) for name in taken)
        folders[:] = inner
    if not relatives:
        raise InputError(
            f"{_shown(str(folder))}: no picture in this folder; "
            f"vipx looks for names in {', '.join(_SUFFIXES)}"
        )
    relatives.sort(key=lambda relative: relative.parts)
    return ImageListing(tuple(ListedImage(folder / each, each) for each in relatives), passed_over)


def is_image_name(name: str) -> bool:
    """Tell whether a file name ends like a picture's, supported or refused, and is not hidden."""
    known = Path(name).suffix.lower() in _SUFFIXES + _REFUSED_SUFFIXES
    return known and not name.startswith(".")


def _refuse_folder(error: OSError) -> None:
    raise InputError(
        f"{_shown(str(error.filename))}: the folder cannot be listed ({error.strerror}); "
        "check its permissions"
    ) from error


def _shown(name: str) -> str:
    """A name as it may stand in a line of text: line breaks and undecodable bytes are escaped."""
    return name if name.isprintable() else ascii(name)


@contextmanager
def _errors_named(name: str) -> Iterator[None]:
    """Turn whatever a broken file causes into one line that names the file.

    Pillow answers broken data with a dozen unrelated types (SyntaxError, struct.error, ...);
    none of them is a bug of vipx. The cause stays attached.
    """
    try:
        yield
    except UnusableImageError as error:
        raise ImageError(f"{_shown(name)}: {error}") from error
    except MemoryError as error:
        raise ImageError(
            f"{_shown(name)}: not enough memory to decode the picture; use a smaller one"
        ) from error
    except Exception as error:
        reason = _shown(" ".join(str(error).split())) or type(error).__name__
        raise ImageError(
            f"{_shown(name)}: the file is damaged or of an unsupported kind ({reason}); "
            "save it again as an 8-bit PNG"
        ) from error


def _read_file(path: str | Path, max_pixels: int) -> bytes:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnusableImageError("this is no file; give a file or a folder")
            _check_bytes(status.st_size, max_pixels)
            data = file.read(status.st_size + 1)
    except FileNotFoundError as error:
        raise UnusableImageError("no such file; check the path") from error
    except (IsADirectoryError, PermissionError) as error:
        raise UnusableImageError(f"cannot be read ({error.strerror}); check the path") from error
    except OSError as error:
        raise UnusableImageError(f"cannot be read ({error.strerror}); check the disk") from error
    if len(data) != status.st_size:
        raise UnusableImageError("the file changed while it was read; wait until it is written")
    return data


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting: a named pipe in a folder must not stop the line."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_bytes(size: int, max_pixels: int) -> None:
    most = max_pixels * _BYTES_PER_PIXEL_MOST + _METADATA_BYTES_MOST
    if size > most:
        raise UnusableImageError(
            f"the file has {size:,} bytes and the limit is {most:,}; crop or shrink the picture"
        )
