"""Folders of pictures beside folders of masks, every picture with a lesion: ISIC and the polyp datasets."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vipx.errors import InputError
from vipx.training.data.layouts.tree import (
    Found,
    masks_in,
    not_laid_out,
    pictures,
    unmatched,
    with_mask,
)
from vipx.training.data.samples import Sample, Split

__all__ = ["read_clinicdb", "read_colondb", "read_endotect", "read_isic", "read_kvasir"]


@dataclass(frozen=True, slots=True)
class _Lesion:
    """What the pictures show, what is wrong there, and how a mask's name goes on behind the picture's."""

    category: str
    defect: str
    endings: tuple[str, ...]

    def on(self, image: Path, split: Split) -> Sample:
        return Sample(image, self.category, split, self.defect, None)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A folder of pictures and that of their masks, below the root."""

    images: str
    masks: str
    split: Split = "test"


_SKIN: Final = _Lesion("skin", "lesion", ("_segmentation", "_Segmentation"))
_POLYP: Final = _Lesion("colon", "polyp", ("",))
_ISIC: Final = {
    "2016": (
        _Pair(
            "ISBI2016_ISIC_Part1_Training_Data", "ISBI2016_ISIC_Part1_Training_GroundTruth", "train"
        ),
        _Pair("ISBI2016_ISIC_Part1_Test_Data", "ISBI2016_ISIC_Part1_Test_GroundTruth"),
    ),
    "2017": (
        _Pair("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth", "train"),
        _Pair("ISIC-2017_Test_v2_Data", "ISIC-2017_Test_v2_Part1_GroundTruth"),
    ),
    "2018": (
        _Pair("ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth", "train"),
        _Pair("ISIC2018_Task1-2_Test_Input", "ISIC2018_Task1_Test_GroundTruth"),
    ),
}
_SUPERPIXELS = "_superpixels"
_PLAIN = _Pair("images", "masks")
_CLINIC = (
    _PLAIN,
    _Pair("Original", "Ground Truth"),
    _Pair("PNG/Original", "PNG/Ground Truth"),
    _Pair("TIF/Original", "TIF/Ground Truth"),
)


def read_isic(root: Path) -> Iterator[Found]:
    """Read the segmentation task of ISIC 2016, 2017 or 2018: one year, its training and test folders."""
    years = {
        year: [pair for pair in pairs if (root / pair.images).is_dir()]
        for year, pairs in _ISIC.items()
    }
    present = [year for year, pairs in years.items() if pairs]
    if not present:
        raise not_laid_out(root, "isic", f"a folder such as {_ISIC['2016'][1].images}")
    if len(present) > 1:
        raise InputError(
            f"{root}: holds ISIC {', '.join(present)}, which share pictures; give each year its folder"
        )
    for pair in years[present[0]]:
        yield from _paired(root, "isic", pair, _SKIN)


def read_colondb(root: Path) -> Iterator[Found]:
    """Read CVC-ColonDB: images/ and masks/, or the publisher's N.bmp beside pN.bmp in one folder."""
    if (root / _PLAIN.images).is_dir():
        return _paired(root, "colondb", _PLAIN, _POLYP)
    return _read_colondb_flat(root)


def _read_colondb_flat(root: Path) -> Iterator[Found]:
    numbered = [image for image in pictures(root) if image.stem.isdecimal()]
    if not numbered:
        raise not_laid_out(root, "colondb", "the folders images and masks, or 1.bmp and p1.bmp")
    masks = {
        stem[1:]: paths
        for stem, paths in masks_in(root).items()
        if stem[:1] == "p" and stem[1:].isdecimal()
    }
    for image in sorted(numbered, key=lambda path: int(path.stem)):
        yield from with_mask(_POLYP.on(image, "test"), masks, _POLYP.endings)


def read_clinicdb(root: Path) -> Iterator[Found]:
    """Read CVC-ClinicDB: Original/ and `Ground Truth`/, also below PNG/ or TIF/, or images/ and masks/."""
    for pair in _CLINIC:
        if (root / pair.images).is_dir():
            return _paired(root, "clinicdb", pair, _POLYP)
    raise not_laid_out(root, "clinicdb", "the folders Original and Ground Truth")


def read_endotect(root: Path) -> Iterator[Found]:
    """Read EndoTect's segmentation test set: images/ and masks/."""
    return _paired(root, "endotect", _PLAIN, _POLYP)


def read_kvasir(root: Path) -> Iterator[Found]:
    """Read Kvasir-SEG: images/ and masks/, both JPEG."""
    return _paired(root, "kvasir", _PLAIN, _POLYP)


def _paired(root: Path, layout: str, pair: _Pair, lesion: _Lesion) -> Iterator[Found]:
    for name in (pair.images, pair.masks):
        if not (root / name).is_dir():
            raise not_laid_out(root, layout, f"the folder {name}")
    masks = masks_in(root / pair.masks)
    found: list[Found] = []
    for image in pictures(root / pair.images):
        if not image.stem.endswith(_SUPERPIXELS):
            found.extend(with_mask(lesion.on(image, pair.split), masks, lesion.endings))
    yield from found
    yield from unmatched(masks, found)
