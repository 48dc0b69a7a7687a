"""VisA: a CSV file with the split, CATEGORY/Data/{Images,Masks}, and the kinds of defects by category."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from vipx.errors import InputError
from vipx.training.data.layouts.rows import rows_of
from vipx.training.data.layouts.tree import Found, not_laid_out
from vipx.training.data.samples import GoodMask, Problem, Sample, Split

__all__ = ["read_visa"]

_SPLIT_CSV = Path("split_csv", "1cls.csv")
_COLUMNS = ("object", "split", "label", "image", "mask")
_SPLITS: Final[Mapping[str, Split]] = {"train": "train", "test": "test"}
_LABELS = ("normal", "anomaly")


def read_visa(root: Path) -> Iterator[Found]:
    """Read VisA by its one-class split; defects are named as in CATEGORY/image_anno.csv where that is."""
    table = root / _SPLIT_CSV
    if not table.is_file():
        raise not_laid_out(root, "visa", f"the file {_SPLIT_CSV.as_posix()}")
    kinds: dict[str, Mapping[str, str]] = {}
    for row in rows_of(table, _COLUMNS):
        category = row.cells["object"]
        if category not in kinds:
            kinds[category] = _defects(root / category / "image_anno.csv")
        if row.cells["split"] not in _SPLITS or row.cells["label"] not in _LABELS:
            raise InputError(f"{row.place}: expected train or test, and normal or anomaly")
        yield from _read_row(root, row.cells, kinds[category])


def _read_row(root: Path, cells: Mapping[str, str], kinds: Mapping[str, str]) -> Iterator[Found]:
    image = root / cells["image"]
    if not image.is_file():
        yield Problem(image, "no such file, but the split names it")
        return
    mask = root / cells["mask"] if cells["mask"] else None
    if cells["label"] == "normal":
        yield Sample(image, cells["object"], _SPLITS[cells["split"]], None, None)
        if mask is not None and mask.is_file():
            yield GoodMask(image, mask)
        return
    if mask is None or not mask.is_file():
        yield Problem(mask or image, "no mask; only the image's label is used", warning=True)
        mask = None
    defect = kinds.get(cells["image"]) or "anomalous"
    yield Sample(image, cells["object"], _SPLITS[cells["split"]], defect, mask)


def _defects(table: Path) -> Mapping[str, str]:
    if not table.is_file():
        return {}
    return {row.cells["image"]: row.cells["label"] for row in rows_of(table, ("image", "label"))}
