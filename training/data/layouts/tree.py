"""Walks folders in a fixed order, and finds the mask that belongs to a picture."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vipx.errors import InputError
from vipx.images import is_image_name
from vipx.training.data.samples import GoodMask, Problem, Sample

__all__ = [
    "Found",
    "Masks",
    "first_folder",
    "good_masks",
    "jpeg_above",
    "mask_of",
    "masks_in",
    "not_laid_out",
    "pictures",
    "subfolders",
    "unmatched",
    "with_mask",
]

Found = Sample | Problem | GoodMask
Masks = Mapping[str, Sequence[Path]]
"""The masks of a folder by their names without the extension; several where only that differs."""

_JPEG = (".jpg", ".jpeg")
_JPEG_ABOVE = 127


def pictures(folder: Path) -> list[Path]:
    """List the pictures directly in a folder by name; none where there is no folder."""
    return [path for path in _entries(folder) if is_image_name(path.name) and not path.is_dir()]


def subfolders(folder: Path) -> list[Path]:
    """List the folders directly in a folder by name, without hidden ones."""
    return [path for path in _entries(folder) if path.is_dir()]


def _entries(folder: Path) -> list[Path]:
    try:
        found = sorted(folder.iterdir(), key=lambda path: path.name)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(
            f"{folder}: the folder cannot be listed ({error.strerror}); check the path"
        ) from error
    return [path for path in found if not path.name.startswith(".")]


def first_folder(root: Path, names: Iterable[str]) -> Path | None:
    """Give the first of these sub-folders that exists."""
    return next((root / name for name in names if (root / name).is_dir()), None)


def not_laid_out(root: Path, layout: str, expected: str) -> InputError:
    """Say that a root is not in a layout, and what was expected there."""
    if not root.exists():
        return InputError(f"{root}: no such folder; give the root of the {layout} dataset")
    return InputError(
        f"{root}: not in the {layout} layout: expected {expected}; see docs/datasets.md"
    )


def masks_in(folder: Path) -> Masks:
    """Index the masks directly in a folder."""
    found: dict[str, list[Path]] = {}
    for path in pictures(folder):
        found.setdefault(path.stem, []).append(path)
    return found


def mask_of(image: Path, masks: Masks, endings: Sequence[str]) -> list[Path]:
    """Find the masks named like a picture plus the first of these endings that has any."""
    for ending in endings:
        if found := masks.get(image.stem + ending):
            return list(found)
    return []


def jpeg_above(mask: Path | None) -> int:
    """Give the grey value above which this mask counts: compression leaves noise around JPEG's black."""
    return _JPEG_ABOVE if mask is not None and mask.suffix.lower() in _JPEG else 0


def with_mask(sample: Sample, masks: Masks, endings: Sequence[str]) -> Iterator[Found]:
    """Yield an anomalous sample with its mask; without it, and a problem, where none can be told."""
    found = mask_of(sample.image, masks, endings)
    if len(found) == 1:
        yield replace(sample, mask=found[0], mask_above=jpeg_above(found[0]))
        return
    yield sample
    if found:
        names = ", ".join(path.name for path in found)
        yield Problem(sample.image, f"several masks ({names}); none is used", warning=True)
    else:
        yield Problem(sample.image, "no mask; only the image's label is used", warning=True)


def good_masks(image: Path, masks: Masks, endings: Sequence[str]) -> Iterator[GoodMask]:
    """Yield the masks that a good picture has all the same."""
    for mask in mask_of(image, masks, endings):
        yield GoodMask(image, mask)


def unmatched(masks: Masks, found: Iterable[Found]) -> Iterator[Problem]:
    """Name the masks that no sample uses."""
    used = {each.mask for each in found if isinstance(each, Sample)}
    for paths in masks.values():
        for path in paths:
            if path not in used and len(paths) == 1:
                yield Problem(path, "no image belongs to this mask", warning=True)
