"""Opens a dataset by the name of its layout."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from vipx.errors import InputError, UsageError
from vipx.training.data.layouts.brain import read_br35h, read_brainmri, read_headct
from vipx.training.data.layouts.dagm import read_dagm
from vipx.training.data.layouts.kolektor import read_ksdd
from vipx.training.data.layouts.lesions import (
    read_clinicdb,
    read_colondb,
    read_endotect,
    read_isic,
    read_kvasir,
)
from vipx.training.data.layouts.meta import read_meta
from vipx.training.data.layouts.mvtec import (
    read_btad,
    read_dtd_synthetic,
    read_mpdd,
    read_mvtec,
)
from vipx.training.data.layouts.own import read_csv, read_folders
from vipx.training.data.layouts.tree import Found
from vipx.training.data.layouts.visa import read_visa
from vipx.training.data.samples import Dataset, GoodMask, Problem, Sample

__all__ = ["DATASETS", "Reader", "open_dataset"]

Reader = Callable[[Path], Iterator[Found]]

DATASETS: Mapping[str, Reader] = MappingProxyType(
    {
        "br35h": read_br35h,
        "brainmri": read_brainmri,
        "btad": read_btad,
        "clinicdb": read_clinicdb,
        "colondb": read_colondb,
        "csv": read_csv,
        "dagm": read_dagm,
        "dtd_synthetic": read_dtd_synthetic,
        "endotect": read_endotect,
        "folders": read_folders,
        "headct": read_headct,
        "isic": read_isic,
        "ksdd": read_ksdd,
        "kvasir": read_kvasir,
        "meta": read_meta,
        "mpdd": read_mpdd,
        "mvtec": read_mvtec,
        "visa": read_visa,
    }
)
"""The reader of each layout by its name, sorted."""


def open_dataset(name: str, root: Path) -> Dataset:
    """List a dataset's pictures with their truth; pictures are not decoded, but for KolektorSDD's labels.

    Raises:
        UsageError: no layout has this name.
        InputError: the root is not in this layout, or holds no picture.
    """
    if name not in DATASETS:
        raise UsageError(f"unknown dataset {name!r}; known are {', '.join(DATASETS)}")
    found = list(DATASETS[name](root))
    samples = tuple(each for each in found if isinstance(each, Sample))
    problems = tuple(each for each in found if isinstance(each, Problem))
    if not samples:
        first = (
            f"; the first problem is {problems[0].path}: {problems[0].reason}" if problems else ""
        )
        raise InputError(f"{root}: in the {name} layout, but without a usable picture{first}")
    good_masks = tuple(each for each in found if isinstance(each, GoodMask))
    return Dataset(name, root, samples, problems, good_masks)
