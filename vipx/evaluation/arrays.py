"""Results of any tool as arrays in one .npz file, and their metrics."""

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray

from vipx.errors import InputError
from vipx.training.metrics import Metrics, measurement

IMAGE_ARRAYS = ("labels", "scores")
PIXEL_ARRAYS = ("masks", "maps")


@dataclass(frozen=True, slots=True)
class _Pair:
    """Truth and answer that belong together, of one shape."""

    truth: ndarray
    answer: ndarray


def metrics_of_file(path: Path) -> Metrics:
    """Compute the metrics of the arrays in an .npz file.

    `labels` [n] and `scores` [n] give the image metrics, `masks` [n,h,w] and `maps` [n,h,w] the pixel metrics;
    either pair may be missing. Labels and masks are anomalous where they are not 0.

    Raises:
        InputError: This is no such file, or an array in it cannot be used.
    """
    arrays = _read(path)
    images = _pair(path, arrays, IMAGE_ARRAYS, dimensions=1)
    pixels = _pair(path, arrays, PIXEL_ARRAYS, dimensions=3)
    if images is None and pixels is None:
        found = ", ".join(sorted(arrays)) or "none"
        raise InputError(
            f"{path}: expected the arrays labels and scores, masks and maps, or all four; found: {found}"
        )
    if images and pixels and len(images.truth) != len(pixels.truth):
        raise InputError(
            f"{path}: labels are of {len(images.truth)} images and masks of {len(pixels.truth)}; "
            "write both for the same images, or leave one pair out"
        )
    return measurement(
        images.truth if images else None,
        images.answer if images else None,
        pixels.truth if pixels else None,
        pixels.answer if pixels else None,
    ).metrics()


def _read(path: Path) -> dict[str, ndarray]:
    """Read the arrays that are known by name; nothing is unpickled."""
    try:
        with path.open("rb") as stream:  # numpy leaves a damaged file open
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise InputError(f"{path}: holds a single array; expected an .npz of named arrays")
            known = [name for name in file.files if name in IMAGE_ARRAYS + PIXEL_ARRAYS]
            return {name: _array(path, name, file) for name in known}
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: not a readable .npz file; numpy.savez_compressed writes one"
        ) from error


def _array(path: Path, name: str, file: Mapping[str, ndarray]) -> ndarray:
    try:
        array = file[name]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path}: {name} cannot be read; write plain numbers, no objects"
        ) from error
    if array.dtype.kind not in "buif":
        raise InputError(f"{path}: {name} has the type {array.dtype}; expected plain numbers")
    return array


def _pair(
    path: Path, arrays: Mapping[str, ndarray], names: tuple[str, str], *, dimensions: int
) -> _Pair | None:
    present = [name for name in names if name in arrays]
    if not present:
        return None
    if len(present) == 1:
        (missing,) = set(names) - set(present)
        raise InputError(f"{path}: holds {present[0]} but no {missing}; write both or neither")
    truth, answer = arrays[names[0]], arrays[names[1]]
    if truth.ndim != dimensions or truth.shape != answer.shape:
        expected = "[n]" if dimensions == 1 else "[n, height, width]"
        raise InputError(
            f"{path}: expected {names[0]} and {names[1]} of one shape {expected}, "
            f"got {list(truth.shape)} and {list(answer.shape)}"
        )
    _check_values(path, names, _Pair(truth, answer))
    return _Pair(truth, _floating(answer))


def _check_values(path: Path, names: tuple[str, str], pair: _Pair) -> None:
    if not pair.truth.size:
        raise InputError(f"{path}: {names[0]} and {names[1]} are empty; write at least one image")
    if not pair.truth.min() >= 0:  # also true of NaN, which is in no order
        raise InputError(f"{path}: {names[0]} holds NaN or values below 0; 0 is good, above is not")
    if not np.isfinite([pair.answer.min(), pair.answer.max()]).all():
        raise InputError(f"{path}: {names[1]} holds NaN or infinite values; expected finite ones")


def _floating(values: ndarray) -> ndarray:
    """Keep float32 and float64; every smaller type fits float32, and integers float64 up to 2^53."""
    if values.dtype in (np.float32, np.float64):
        return values
    return values.astype(np.float32 if values.dtype.itemsize <= 2 else np.float64)
