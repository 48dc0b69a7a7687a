"""Pictures of brains with image labels alone: HeadCT, BrainMRI and Br35H."""

from collections.abc import Iterator
from pathlib import Path

from vipx.errors import InputError
from vipx.training.data.layouts.rows import rows_of
from vipx.training.data.layouts.tree import Found, first_folder, not_laid_out, pictures
from vipx.training.data.samples import Problem, Sample

__all__ = ["read_br35h", "read_brainmri", "read_headct"]

_CATEGORY = "brain"


def read_headct(root: Path) -> Iterator[Found]:
    """Read HeadCT: labels.csv (id, hemorrhage) and the pictures NNN.png in head_ct/ or head_ct/head_ct/."""
    table = root / "labels.csv"
    folder = first_folder(root, ("head_ct/head_ct", "head_ct"))
    if folder is None or not table.is_file():
        raise not_laid_out(root, "headct", "the file labels.csv and the folder head_ct")
    listed = set()
    for row in rows_of(table, ("id", "hemorrhage")):
        number, label = row.cells["id"], row.cells["hemorrhage"]
        if not number.isdecimal() or label not in ("0", "1"):
            raise InputError(
                f"{row.place}: expected a number and 0 or 1, got {number!r}, {label!r}"
            )
        image = folder / f"{int(number):03}.png"
        listed.add(image)
        yield from _labelled(image, "hemorrhage" if label == "1" else None)
    for image in pictures(folder):
        if image not in listed:
            yield Problem(image, "labels.csv does not name it: good or not is unknown")


def _labelled(image: Path, defect: str | None) -> Iterator[Found]:
    if image.is_file():
        yield Sample(image, _CATEGORY, "test", defect, None)
    else:
        yield Problem(image, "no such file, but labels.csv names it")


def read_brainmri(root: Path) -> Iterator[Found]:
    """Read BrainMRI: yes/ and no/, or brain_tumor_dataset/ that holds them."""
    place = root if (root / "yes").is_dir() else root / "brain_tumor_dataset"
    return _yes_no(root, place, "brainmri")


def read_br35h(root: Path) -> Iterator[Found]:
    """Read Br35H: yes/ and no/; pred/ has no labels and is left out."""
    return _yes_no(root, root, "br35h")


def _yes_no(root: Path, place: Path, layout: str) -> Iterator[Found]:
    for name, defect in (("no", None), ("yes", "tumor")):
        if not (place / name).is_dir():
            raise not_laid_out(root, layout, f"the folder {name}")
        for image in pictures(place / name):
            yield Sample(image, _CATEGORY, "test", defect, None)
