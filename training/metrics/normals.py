"""Counts of the normal values above a threshold: exact, and without sorting most of them.

Values fall into evenly spaced buckets. A normal value whose bucket holds no threshold lies on the same side of
every threshold as all of its bucket, so it is only counted. The others are sorted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

__all__ = ["NormalCounts", "counted"]

VALUES_A_BUCKET = 16
VALUES_AT_ONCE = 2**20


@dataclass(frozen=True, slots=True)
class _Buckets:
    """Buckets of equal width from `low` on; the index never falls when the value rises."""

    low: np.floating
    span: np.floating
    count: int

    def of(self, values: Float[ndarray, "values"]) -> Int[ndarray, "values"]:
        if self.count == 1:
            return np.zeros(values.size, np.int32)
        share = (values - self.low) / self.span
        return np.minimum((share * self.count).astype(np.int32), self.count - 1)


@dataclass(frozen=True, slots=True)
class NormalCounts:
    """How many normal values lie above each threshold that was named beforehand.

    Attributes:
        size: Number of normal values.
    """

    size: int
    _buckets: _Buckets
    _sorted: Float[ndarray, "shared"]
    _apart_above: Int[ndarray, "buckets"]

    def above(self, thresholds: Float[ndarray, "thresholds"]) -> Int[ndarray, "thresholds"]:
        """Count the normal values above each threshold; rising thresholds are answered fastest."""
        return self._counted(thresholds, np.searchsorted(self._sorted, thresholds, side="right"))

    def from_here(self, thresholds: Float[ndarray, "thresholds"]) -> Int[ndarray, "thresholds"]:
        """Count the normal values at or above each threshold; rising ones are answered fastest."""
        return self._counted(thresholds, np.searchsorted(self._sorted, thresholds, side="left"))

    def _counted(
        self, thresholds: Float[ndarray, "thresholds"], below: Int[ndarray, "thresholds"]
    ) -> Int[ndarray, "thresholds"]:
        return self._sorted.size - below + self._apart_above[self._buckets.of(thresholds)]


def counted(
    values: Float[ndarray, "values"],
    normal: Bool[ndarray, "values"],
    thresholds: Float[ndarray, "thresholds"],
    bounds: Float[ndarray, "2"],
) -> NormalCounts:
    """Prepare the counts of all normal values.

    Args:
        values: Finite, of one floating type with `thresholds` and `bounds`.
        normal: Which of them are normal.
        thresholds: All that will ever be asked for, in any order.
        bounds: Lowest and highest of `values`.
    """
    low, high = bounds
    with np.errstate(over="ignore"):
        span = high - low
    usable = bool(0 < span < np.inf)
    buckets = _Buckets(low, span, max(1, values.size // VALUES_A_BUCKET) if usable else 1)
    asked = np.zeros(buckets.count, np.bool_)
    asked[buckets.of(thresholds)] = True
    shared, apart, size = [], np.zeros(buckets.count, np.int64), 0
    for part in _parts(values, normal):
        index = buckets.of(part)
        kept = asked[index]
        shared.append(part[kept])
        apart += np.bincount(index[~kept], minlength=buckets.count)
        size += part.size
    together = np.concatenate(shared)
    together.sort()
    return NormalCounts(size, buckets, together, apart[::-1].cumsum()[::-1])


def _parts(
    values: Float[ndarray, "values"], normal: Bool[ndarray, "values"]
) -> Iterator[Float[ndarray, "part"]]:
    """Take the normal values a million at a time: small enough to stay in the processor's cache."""
    for start in range(0, values.size, VALUES_AT_ONCE):
        part = slice(start, start + VALUES_AT_ONCE)
        yield values[part][normal[part]]
