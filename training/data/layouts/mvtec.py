"""CATEGORY/{train,test}/KIND with CATEGORY/ground_truth/KIND: MVTec AD, MPDD, DTD-Synthetic, BTAD."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vipx.training.data.layouts.tree import (
    Found,
    Masks,
    good_masks,
    masks_in,
    not_laid_out,
    pictures,
    subfolders,
    unmatched,
    with_mask,
)
from vipx.training.data.samples import Sample, Split

__all__ = ["read_btad", "read_dtd_synthetic", "read_mpdd", "read_mvtec"]

_SPLITS: Final[tuple[Split, ...]] = ("train", "test")
_MASK_ENDINGS = ("_mask", "")
_OTHER_GOOD = {"good": "ok", "ok": "good"}


def read_mvtec(root: Path) -> Iterator[Found]:
    """Read MVTec AD and whatever is laid out like it; `root` may also be a single category."""
    return _read(root, "mvtec", good="good")


def read_mpdd(root: Path) -> Iterator[Found]:
    """Read MPDD: painted and bare metal parts in MVTec's layout."""
    return _read(root, "mpdd", good="good")


def read_dtd_synthetic(root: Path) -> Iterator[Found]:
    """Read DTD-Synthetic: textures with drawn defects in MVTec's layout."""
    return _read(root, "dtd_synthetic", good="good")


def read_btad(root: Path) -> Iterator[Found]:
    """Read BTAD: products 01, 02 and 03; `ok` and `ko` for good and anomalous."""
    return _read(root, "btad", good="ok")


def _read(root: Path, layout: str, good: str) -> Iterator[Found]:
    folders = [root] if _kinds(root) else [each for each in subfolders(root) if _kinds(each)]
    if not folders:
        raise not_laid_out(root, layout, f"CATEGORY/train/{good} or CATEGORY/test/{good}")
    for category in folders:
        # `good` read as BTAD's, or `ok` as MVTec's, would count as a kind of defect.
        wrong = [kind for kind in _kinds(category) if kind.name == _OTHER_GOOD[good]]
        if wrong:
            raise not_laid_out(root, layout, f"good images in {good}/ and not in {wrong[0]}")
        yield from _read_category(category, good)


def _kinds(category: Path) -> list[Path]:
    return [kind for split in _SPLITS for kind in subfolders(category / split)]


def _read_category(category: Path, good: str) -> Iterator[Found]:
    truth = category / "ground_truth"
    kinds = {kind.name: masks_in(kind) for kind in subfolders(truth)}
    found = list(_read_splits(category, good, kinds if truth.is_dir() else None))
    yield from found
    for name, masks in kinds.items():
        if name != good:
            yield from unmatched(masks, found)


def _read_splits(category: Path, good: str, kinds: dict[str, Masks] | None) -> Iterator[Found]:
    for split in _SPLITS:
        for kind in subfolders(category / split):
            defect = None if kind.name == good else kind.name
            for image in pictures(kind):
                sample = Sample(image, category.absolute().name, split, defect, None)
                masks = None if kinds is None else kinds.get(kind.name, {})
                yield from _read_picture(sample, masks)


def _read_picture(sample: Sample, masks: Masks | None) -> Iterator[Found]:
    """Yield a sample with what belongs to it; `masks` is None where the category has no ground truth."""
    if sample.anomalous and masks is not None:
        yield from with_mask(sample, masks, _MASK_ENDINGS)
        return
    yield sample
    # The pictures of train/good are numbered as those of test/good, whose masks these are.
    if masks and sample.split == "test":
        yield from good_masks(sample.image, masks, _MASK_ENDINGS)
