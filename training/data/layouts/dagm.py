"""DAGM 2007: ClassN/{Train,Test}/NNNN.PNG, with Label/NNNN_label.PNG and Label/Labels.txt."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from vipx.errors import InputError
from vipx.training.data.layouts.tree import (
    Found,
    mask_of,
    masks_in,
    not_laid_out,
    pictures,
    subfolders,
    with_mask,
)
from vipx.training.data.samples import Problem, Sample, Split

__all__ = ["read_dagm"]

_SPLITS: Final[tuple[tuple[str, Split], ...]] = (("Train", "train"), ("Test", "test"))
_ENDINGS = ("_label",)
_FIELDS = 5


def read_dagm(root: Path) -> Iterator[Found]:
    """Read DAGM 2007: ten textures; masks are ellipses around the defects, not their outlines."""
    classes = [folder for folder in map(_unpacked, subfolders(root)) if folder is not None]
    if not classes:
        raise not_laid_out(root, "dagm", "Class1/Train and Class1/Test")
    for folder in sorted(classes, key=_number):
        for name, split in _SPLITS:
            yield from _read_split(folder, folder / name, split)


def _unpacked(folder: Path) -> Path | None:
    """Give a class's folder; each of the publisher's archives holds one more of the same name."""
    if not folder.name.startswith("Class") or not folder.name[5:].isdecimal():
        return None
    inner = folder / folder.name
    return inner if inner.is_dir() else folder


def _number(folder: Path) -> int:
    return int(folder.name[5:])


def _read_split(category: Path, folder: Path, split: Split) -> Iterator[Found]:
    masks = masks_in(folder / "Label")
    flags = _flags(folder / "Label" / "Labels.txt")
    for image in pictures(folder):
        has_mask = bool(mask_of(image, masks, _ENDINGS))
        defective = flags.get(image.name, has_mask)
        sample = Sample(image, category.name, split, "anomalous" if defective else None, None)
        if defective:
            yield from with_mask(sample, masks, _ENDINGS)
        elif has_mask:
            yield Problem(image, "has a mask, but Labels.txt says that it is good")
        else:
            yield sample


def _flags(table: Path) -> Mapping[str, bool]:
    """Tell of each picture that the table names whether it is defective; its first line only counts."""
    if not table.is_file():
        return {}
    try:
        rows = [line.split() for line in table.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{table}: cannot be read ({error}); unpack the dataset again") from error
    return {row[2]: row[1] == "1" for row in rows if len(row) == _FIELDS}
