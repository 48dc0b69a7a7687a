"""Looks at the good images as a set: what repeats, what is odd, what should not be among them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vipx.calibration.collection.measurement import Measurement
from vipx.calibration.limits import logits_of
from vipx.calibration.thresholds.duplicates import Groups, near_duplicates, outliers
from vipx.errors import InputError

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class GoodSet:
    """What was found.

    Attributes:
        groups: Which images repeat one another; thresholds rest on one number of each group.
        outliers: Names of images that stand apart from the others, the farthest first.
        warnings: One sentence each.
    """

    groups: Groups
    outliers: tuple[str, ...]
    warnings: tuple[str, ...]


def examined(good: Sequence[Measurement]) -> GoodSet:
    """Look at good images.

    Raises:
        InputError: All of them are the same picture.
    """
    features = np.stack([one.feature for one in good])  # (images, dim)
    groups = near_duplicates(features)
    if len(good) > 1 and groups.effective == 1:
        raise InputError(
            f"all {len(good)} good images are the same picture, or nearly (as {good[0].name}); a "
            "threshold needs different parts of the product"
        )
    # In log odds, since probabilities crowd at their ends.
    apart = outliers(logits_of(np.array([one.score for one in good])), features)
    names = tuple(good[one.index].name for one in apart)
    warnings = (
        *_repetitions(good, groups),
        *_sizes(good),
        *_grey_among_colour(good),
        *_apart(names),
    )
    return GoodSet(groups, names, warnings)


def _repetitions(good: Sequence[Measurement], groups: Groups) -> Iterator[str]:
    warning = groups.warning()
    if warning is not None:
        together = [" = ".join(good[index].name for index in each) for each in groups.members()]
        yield f"{warning}: {_some(together)}"


def _sizes(good: Sequence[Measurement]) -> Iterator[str]:
    sizes = Counter(one.size for one in good)
    if len(sizes) > 1:
        usual = sizes.most_common(1)[0][0]
        others = [f"{one.name} ({_size(one.size)})" for one in good if one.size != usual]
        yield (
            f"the good images have {len(sizes)} sizes: {sizes[usual]} have {_size(usual)} px, and not "
            f"{_some(others)}; one camera gives one size"
        )


def _grey_among_colour(good: Sequence[Measurement]) -> Iterator[str]:
    grey = [one.name for one in good if one.grey]
    if 0 < len(grey) < len(good):
        few, colour = len(grey) <= len(good) / 2, len(good) - len(grey)
        named = grey if few else [one.name for one in good if not one.grey]
        kind = "grey among colour images" if few else "in colour among grey images"
        yield f"{min(len(grey), colour)} of {len(good)} good images are {kind}: {_some(named)}"


def _apart(outliers: Sequence[str]) -> Iterator[str]:
    if outliers:
        yield (
            f"{_some(outliers)} stands apart from the other good images; look at it, and if it is "
            "defective calibrate again with --leave-out"
        )


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
