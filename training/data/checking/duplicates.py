"""Finds pictures that stand twice in a dataset: the same bytes, or nearly the same looks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Int, UInt8
from numpy import ndarray

from vipx.training.data.checking.looks import Look

__all__ = ["Duplicates", "duplicates"]

BITS_APART: Final = 20
"""Of the 256 bits of the difference hash, so many may differ between pictures that look alike."""

LEVELS_APART: Final = 2.0
"""So many grey levels may their thumbnails differ (root mean square)."""

_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Paths of pictures that are the same or look the same.

    Attributes:
        leaks: groups of identical files that stand in both splits.
        contradictions: groups of identical files, some good and some anomalous.
        repeated: groups of identical files within one split, all good or all anomalous.
        look_alikes: (test picture, train picture) of one category; a hint, as parts of one kind in one
            place may look alike without being the same.
    """

    leaks: tuple[tuple[str, ...], ...]
    contradictions: tuple[tuple[str, ...], ...]
    repeated: tuple[tuple[str, ...], ...]
    look_alikes: tuple[tuple[str, str], ...]


def duplicates(looks: Sequence[Look]) -> Duplicates:
    """Compare all pictures by their bytes, and those of both splits of a category by a difference hash.

    The hash has one bit for each pair of neighbours in a thumbnail: is the right one brighter? A test picture
    is compared with the train picture whose thumbnail is nearest. Pictures scaled, re-encoded or a little
    brightened look alike; turned, mirrored or cropped ones do not.
    """
    leaks, contradictions, repeated = [], [], []
    for group in _identical(looks):
        paths = tuple(str(look.sample.image) for look in group)
        across = len({look.sample.split for look in group}) > 1
        contradicting = len({look.sample.anomalous for look in group}) > 1
        if across:
            leaks.append(paths)
        if contradicting:
            contradictions.append(paths)
        if not across and not contradicting:
            repeated.append(paths)
    alike = tuple(_look_alikes(looks))
    return Duplicates(tuple(leaks), tuple(contradictions), tuple(repeated), alike)


def _identical(looks: Iterable[Look]) -> Iterator[list[Look]]:
    groups: dict[str, list[Look]] = {}
    for look in looks:
        if look.digest is not None:
            groups.setdefault(look.digest, []).append(look)
    for group in groups.values():
        if len({look.sample.image for look in group}) > 1:
            yield group


def _look_alikes(looks: Iterable[Look]) -> Iterator[tuple[str, str]]:
    categories: dict[str, list[Look]] = {}
    for look in looks:
        if look.thumbnail is not None:
            categories.setdefault(look.sample.category, []).append(look)
    for members in categories.values():
        train = [look for look in members if look.sample.split == "train"]
        test = [look for look in members if look.sample.split == "test"]
        if train and test:
            yield from _alike(test, train)


def _alike(test: Sequence[Look], train: Sequence[Look]) -> Iterator[tuple[str, str]]:
    """Yield each test picture with the train picture next to it, where they look alike but are not the same."""
    references = _stacked(train)
    for start in range(0, len(test), _BLOCK):
        block = test[start : start + _BLOCK]
        pictures = _stacked(block)
        nearest = _nearest(pictures, references)
        alike = _look_alike(pictures, references[nearest])
        for look, index, near in zip(block, nearest, alike, strict=True):
            if near and look.digest != train[index].digest:
                yield str(look.sample.image), str(train[index].sample.image)


def _nearest(
    pictures: UInt8[ndarray, "pictures rows columns"],
    references: UInt8[ndarray, "references rows columns"],
) -> Int[ndarray, "pictures"]:
    """The reference with the least squared difference: |p - r|^2 = |p|^2 + |r|^2 - 2 p.r, without |p|^2."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    other = references.reshape(len(references), -1).astype(np.float32)
    return ((other**2).sum(axis=1) - 2 * flat @ other.T).argmin(axis=1)


def _look_alike(
    pictures: UInt8[ndarray, "pictures rows columns"],
    others: UInt8[ndarray, "pictures rows columns"],
) -> Bool[ndarray, "pictures"]:
    apart = pictures.astype(np.float32) - others
    levels = np.sqrt((apart**2).mean(axis=(1, 2)))
    bits = (_hash(pictures) != _hash(others)).sum(axis=(1, 2))
    return (levels <= LEVELS_APART) & (bits <= BITS_APART)


def _stacked(looks: Sequence[Look]) -> UInt8[ndarray, "pictures rows columns"]:
    return np.stack([look.thumbnail for look in looks if look.thumbnail is not None])


def _hash(
    pictures: UInt8[ndarray, "pictures rows columns"],
) -> Bool[ndarray, "pictures rows columns-1"]:
    return pictures[:, :, 1:] > pictures[:, :, :-1]
