"""A user's own pictures: good/ bad/ [masks/], or a CSV file."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from vipx.errors import InputError
from vipx.images import list_images
from vipx.training.data.layouts.rows import Row, rows_of
from vipx.training.data.layouts.tree import (
    Found,
    jpeg_above,
    masks_in,
    not_laid_out,
    unmatched,
    with_mask,
)
from vipx.training.data.samples import GoodMask, Problem, Sample, Split

__all__ = ["read_csv", "read_folders"]

_TABLE = "dataset.csv"
_SPLITS: Final[Mapping[str, Split]] = {"train": "train", "test": "test", "": "test"}
_LABELS: Final = {
    "good": False,
    "ok": False,
    "normal": False,
    "0": False,
    "bad": True,
    "ng": True,
    "anomalous": True,
    "anomaly": True,
    "defect": True,
    "1": True,
}


def read_folders(root: Path) -> Iterator[Found]:
    """Read good/, bad/ and masks/, each as deep as wanted; either of the first two may be missing.

    A picture bad/A/B.jpg has the mask masks/A/B.png or masks/A/B_mask.png and the defect A; one directly
    in bad/ is `anomalous`. All count as `test`, and the root's name is the category.
    """
    good, bad, truth = root / "good", root / "bad", root / "masks"
    if not good.is_dir() and not bad.is_dir():
        raise not_laid_out(root, "folders", "the folder good, bad, or both")
    category = root.absolute().name
    for relative in _below(good):
        yield Sample(good / relative, category, "test", None, None)
    masks = {folder: masks_in(truth / folder) for folder in _folders(bad, truth)}
    found: list[Found] = []
    for relative in _below(bad):
        defect = relative.parts[0] if len(relative.parts) > 1 else "anomalous"
        sample = Sample(bad / relative, category, "test", defect, None)
        if truth.is_dir():
            found.extend(with_mask(sample, masks[relative.parent], ("_mask", "")))
        else:
            found.append(sample)
    yield from found
    for each in masks.values():
        yield from unmatched(each, found)


def _folders(*roots: Path) -> list[Path]:
    """All folders that hold pictures below these roots, relative to them."""
    return sorted({relative.parent for root in roots for relative in _below(root)})


def _below(folder: Path) -> list[Path]:
    if not folder.is_dir() or not any(folder.iterdir()):
        return []
    return [listed.relative for listed in list_images([folder]).images]


def read_csv(root: Path) -> Iterator[Found]:
    """Read the CSV file `root`, or `root`/dataset.csv; its paths are relative to its folder, or absolute.

    Columns: `image`, and `label` (good or bad, 0 or 1, ...) or `defect` (empty where good); besides, if
    wanted, `mask`, `category` and `split`.
    """
    table = root if root.is_file() else root / _TABLE
    if not table.is_file():
        raise not_laid_out(root, "csv", f"a CSV file, or {_TABLE} in this folder")
    for row in rows_of(table, ("image",)):
        yield from _read_row(table, row)


def _read_row(table: Path, row: Row) -> Iterator[Found]:
    image = table.parent / row.cells["image"]
    if not image.is_file():
        yield Problem(image, f"no such file, but {table.name} names it")
        return
    split = row.cells.get("split", "")
    if split not in _SPLITS:
        raise InputError(f"{row.place}: expected the split train or test, got {split!r}")
    category = row.cells.get("category") or table.absolute().parent.name
    defect = _defect(row)
    mask = table.parent / row.cells["mask"] if row.cells.get("mask") else None
    if mask is not None and not mask.is_file():
        reason = f"no such mask, but {table.name} names it; only the label is used"
        yield Problem(mask, reason, warning=True)
        mask = None
    if defect:
        yield Sample(image, category, _SPLITS[split], defect, mask, jpeg_above(mask))
        return
    yield Sample(image, category, _SPLITS[split], None, None)
    if mask is not None:
        yield GoodMask(image, mask)


def _defect(row: Row) -> str | None:
    label, defect = row.cells.get("label"), row.cells.get("defect")
    if label is None and defect is None:
        raise InputError(f"{row.place}: expected a column label or defect; add one of them")
    named = defect if defect and _LABELS.get(defect.lower()) is not False else None
    if label is None:
        return named
    anomalous = _LABELS.get(label.lower())
    if anomalous is None:
        raise InputError(f"{row.place}: expected a label such as good or bad, got {label!r}")
    if named and not anomalous:
        raise InputError(f"{row.place}: the label is {label}, but the defect {named}; correct one")
    return (named or "anomalous") if anomalous else None
