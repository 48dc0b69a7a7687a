"""What a dataset is: pictures with their truth, and the files that cannot be used."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

from vipx.errors import InputError, UsageError
from vipx.images import read_image, read_mask, resize_image, resize_mask

__all__ = [
    "Dataset",
    "GoodMask",
    "LoadedSample",
    "Problem",
    "Sample",
    "Split",
    "load_sample",
    "read_truth",
]

Split = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture and what is known about it.

    Attributes:
        image: the picture's file.
        category: what is shown, as the publisher names it.
        split: the publisher's, or `test` where there is none.
        defect: None for a good picture, else the publisher's word, or `anomalous` where there is none.
        mask: the ground truth's file; None for good pictures and where the publisher has none.
        mask_above: a pixel of the mask is anomalous above this grey value; 127 where masks are JPEG files.
    """

    image: Path
    category: str
    split: Split
    defect: str | None
    mask: Path | None
    mask_above: int = 0

    @property
    def anomalous(self) -> bool:
        """Whether the picture shows a defect."""
        return self.defect is not None

    @property
    def masked(self) -> bool:
        """Whether the truth of every pixel is known."""
        return self.mask is not None or not self.anomalous


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that cannot be used, and why.

    Attributes:
        path: the file.
        reason: one line for the user.
        warning: every picture can be used all the same, as where only a mask is missing.
    """

    path: Path
    reason: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class GoodMask:
    """A mask that the publisher gives for a good picture; it ought to be empty, and is never used."""

    image: Path
    mask: Path


@dataclass(frozen=True, slots=True)
class Dataset:
    """Every picture below a root, in the order of its layout, and what is wrong there.

    A picture that can be used without its missing mask stands among `samples`, and the mask among `problems`.
    """

    name: str
    root: Path
    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...]
    good_masks: tuple[GoodMask, ...] = ()

    @property
    def categories(self) -> tuple[str, ...]:
        """All categories, sorted."""
        return tuple(sorted({sample.category for sample in self.samples}))

    def chosen(
        self, *, categories: Sequence[str] | None = None, split: Split | None = None
    ) -> tuple[Sample, ...]:
        """Give the samples of these categories and this split; None takes all.

        Raises:
            UsageError: a category is not in the dataset.
        """
        wanted = self.categories if categories is None else categories
        for category in wanted:
            if category not in self.categories:
                known = ", ".join(self.categories)
                raise UsageError(f"{self.root}: no category {category!r}; there are {known}")
        return tuple(
            sample
            for sample in self.samples
            if sample.category in wanted and split in (None, sample.split)
        )


@dataclass(frozen=True, slots=True)
class LoadedSample:
    """A sample's pixels at one size: RGB, the mask if pixel truth is known, and 1 if anomalous."""

    image: UInt8[ndarray, "height width 3"]
    mask: Bool[ndarray, "height width"] | None
    label: int


def load_sample(sample: Sample, *, height: int, width: int) -> LoadedSample:
    """Read a sample and scale it to `height` x `width` px; a good picture's mask is all False.

    Raises:
        InputError: the picture or its mask cannot be read, or they differ in size.
    """
    image = read_image(sample.image)
    mask = read_truth(sample, (image.shape[0], image.shape[1]))
    return LoadedSample(
        image=resize_image(image, height=height, width=width),
        mask=None if mask is None else resize_mask(mask, height=height, width=width),
        label=int(sample.anomalous),
    )


def read_truth(sample: Sample, size: tuple[int, int]) -> Bool[ndarray, "height width"] | None:
    """Give a sample's mask at its picture's own size (height, width); None where pixel truth is unknown.

    Raises:
        InputError: the mask cannot be read, or is not of this size.
    """
    if not sample.anomalous:
        return np.zeros(size, np.bool_)
    if sample.mask is None:
        return None
    mask = read_mask(sample.mask, above=sample.mask_above)
    if mask.shape != size:
        raise InputError(
            f"{sample.mask}: the mask has {_pixels(mask.shape)}, its image {sample.image} has "
            f"{_pixels(size)}; replace one of them, or leave this image out"
        )
    return mask


def _pixels(size: tuple[int, ...]) -> str:
    return f"{size[1]} x {size[0]} px"
