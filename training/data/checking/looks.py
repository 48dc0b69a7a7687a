"""Decodes each picture of a dataset once and keeps only what the comparisons need of it."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from vipx.errors import InputError
from vipx.hashing import file_sha256
from vipx.images import read_image, read_mask
from vipx.training.data.samples import Dataset, Sample, read_truth

__all__ = ["ROWS", "Finding", "FindingKind", "Look", "look_at"]

ROWS: Final = 16
"""Rows of the thumbnail that pictures are compared by; it has one column more."""

_WORKERS_MOST = 8

FindingKind = Literal["layout", "unreadable", "mask", "empty_mask", "good_mask"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with one file.

    Attributes:
        kind: `layout` for what the listing says, `unreadable`, `mask` for one that cannot be read or is of
            another size, `empty_mask` of an anomalous picture, `good_mask` for one of a good picture that
            is not empty.
        path: the file.
        reason: one line for the user.
        unusable: the picture, or its mask, cannot be loaded.
    """

    kind: FindingKind
    path: str
    reason: str
    unusable: bool


@dataclass(frozen=True, slots=True)
class Look:
    """What is kept of a sample; size is (height, width), and None with the rest if it cannot be read."""

    sample: Sample
    size: tuple[int, int] | None
    digest: str | None
    thumbnail: UInt8[ndarray, "rows columns"] | None
    findings: tuple[Finding, ...]


def look_at(dataset: Dataset, report: Callable[[str], None]) -> Iterator[Look | Finding]:
    """Yield a look for each sample, in order, and then the findings about masks of good pictures.

    A few pictures are decoded at a time; `report` is told how far it is.
    """
    workers = min(os.cpu_count() or 1, _WORKERS_MOST)
    with ThreadPoolExecutor(workers) as pool:
        for number, look in enumerate(pool.map(_look, dataset.samples), 1):
            report(f"{number} of {len(dataset.samples)} pictures")
            yield look
    for each in dataset.good_masks:
        try:
            if read_mask(each.mask).any():
                reason = f"not empty, but its image {each.image} is good; the mask is not used"
                yield Finding("good_mask", str(each.mask), reason, unusable=False)
        except InputError as error:
            yield Finding("good_mask", str(each.mask), _reason(error, each.mask), unusable=False)


def _look(sample: Sample) -> Look:
    try:
        image = read_image(sample.image)
        digest = file_sha256(sample.image)
    except (InputError, OSError) as error:
        finding = Finding(
            "unreadable", str(sample.image), _reason(error, sample.image), unusable=True
        )
        return Look(sample, None, None, None, (finding,))
    size = (image.shape[0], image.shape[1])
    return Look(sample, size, digest, _thumbnail(image), tuple(_mask_findings(sample, size)))


def _mask_findings(sample: Sample, size: tuple[int, int]) -> Iterator[Finding]:
    if sample.mask is None:
        return
    try:
        truth = read_truth(sample, size)
    except InputError as error:
        yield Finding("mask", str(sample.mask), _reason(error, sample.mask), unusable=True)
        return
    if truth is not None and not truth.any():
        reason = f"empty, but its image {sample.image} is anomalous"
        yield Finding("empty_mask", str(sample.mask), reason, unusable=False)


def _reason(error: Exception, path: object) -> str:
    return str(error).removeprefix(f"{path}: ")


def _thumbnail(image: UInt8[ndarray, "height width 3"]) -> UInt8[ndarray, "rows columns"]:
    grey = Image.fromarray(image).convert("L")
    return np.asarray(grey.resize((ROWS + 1, ROWS), Image.Resampling.BOX))
