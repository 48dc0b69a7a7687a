"""KolektorSDD: kosNN/PartM.jpg with kosNN/PartM_label.bmp; a part is defective where that is not empty."""

from collections.abc import Iterator
from pathlib import Path

from vipx.errors import InputError
from vipx.images import read_mask
from vipx.training.data.layouts.tree import (
    Found,
    Masks,
    masks_in,
    not_laid_out,
    pictures,
    subfolders,
)
from vipx.training.data.samples import Problem, Sample

__all__ = ["read_ksdd"]

_CATEGORY = "electrical commutators"
_LABEL = "_label"


def read_ksdd(root: Path) -> Iterator[Found]:
    """Read KolektorSDD: every part counts as `test`, as its publisher splits by folds only.

    The labels are decoded here, since nothing else says which parts are defective.
    """
    folders = [each for each in subfolders(root) if each.name.startswith("kos")]
    if not folders:
        raise not_laid_out(root, "ksdd", "folders kos01, kos02, ... with PartN.jpg")
    for folder in folders:
        labels = masks_in(folder)
        for image in pictures(folder):
            if not image.stem.endswith(_LABEL):
                yield _read_part(image, labels)


def _read_part(image: Path, labels: Masks) -> Found:
    found = labels.get(image.stem + _LABEL, [])
    if len(found) != 1:
        return Problem(image, f"no single label {image.stem}{_LABEL}.bmp: good or not is unknown")
    try:
        anomalous = bool(read_mask(found[0]).any())
    except InputError as error:
        return Problem(image, f"its label says good or not, and cannot be read: {error}")
    if anomalous:
        return Sample(image, _CATEGORY, "test", "anomalous", found[0])
    return Sample(image, _CATEGORY, "test", None, None)
