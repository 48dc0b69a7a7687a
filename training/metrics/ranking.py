"""Where the anomalous values of a set stand among its normal ones: what every exact metric is read from.

Precision, recall and overlap can only change for the better at anomalous values, so those alone are
thresholds. Normal values, which nearly all pixels are, are counted above each of them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numpy import ndarray

from vipx.errors import InputError
from vipx.training.metrics.normals import counted

__all__ = ["Curve", "Ranking", "area", "ranked"]


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a curve from left to right; `x` never falls."""

    x: Float[ndarray, "points"]
    y: Float[ndarray, "points"]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Both classes of a set, ranked once.

    Attributes:
        normal: Number of normal values.
        anomalous: All anomalous values, falling.
        order: Where each of `anomalous` stood among the anomalous values as they were given.
        ends: Index in `anomalous` of the last of each run of equal values; one for each threshold.
        above: Normal values above each threshold.
        from_here: Normal values at or above each threshold.
        steps: Evenly spaced thresholds from the lowest value of both classes to the highest, if asked for.
        above_steps: Normal values above each of `steps`.
    """

    normal: int
    anomalous: Float[ndarray, "anomalous"]
    order: Int[ndarray, "anomalous"]
    ends: Int[ndarray, "thresholds"]
    above: Int[ndarray, "thresholds"]
    from_here: Int[ndarray, "thresholds"]
    steps: Float[ndarray, "steps"]
    above_steps: Int[ndarray, "steps"]

    @property
    def thresholds(self) -> Float[ndarray, "thresholds"]:
        """The distinct anomalous values, falling."""
        return self.anomalous[self.ends]

    @property
    def found(self) -> Int[ndarray, "thresholds"]:
        """Anomalous values at or above each threshold."""
        return self.ends + 1

    def roc(self) -> Curve:
        """Give the share of anomalous values found over the false positive rate, at every threshold."""
        return self.gained(self.found / self.anomalous.size)

    def gained(self, gain: Float[ndarray, "thresholds"]) -> Curve:
        """Draw a gain in [0, 1] at each threshold over the false positive rate, from (0, 0) to (1, 1).

        Between two thresholds the curve is level. Where normal values equal a threshold it rises along a
        slope, as all of them come with it.
        """
        false = np.stack([self.above, self.from_here], axis=1).ravel()
        before = np.concatenate([[0.0], gain[:-1]])
        level = np.stack([before, gain], axis=1).ravel()
        rate = false / self.normal
        return Curve(np.concatenate([[0.0], rate, [1.0]]), np.concatenate([[0.0], level, [1.0]]))

    def precision(self) -> Float[ndarray, "thresholds"]:
        """Give the share of anomalous values among all from each threshold on."""
        return self.found / (self.found + self.from_here)

    def recall(self) -> Float[ndarray, "thresholds"]:
        """Give the share found of all anomalous values at each threshold."""
        return self.found / self.anomalous.size


def ranked(
    anomalous: Bool[ndarray, "*shape"], values: Shaped[ndarray, "*shape"], *, steps: int = 0
) -> Ranking | None:
    """Rank both classes; None where one of them is missing.

    Args:
        anomalous: Which values are.
        values: Higher is more anomalous; what is no float of 32 or 64 bits is converted.
        steps: How many evenly spaced thresholds to count at as well.

    Raises:
        InputError: A value is NaN or infinite.
    """
    if not values.size:
        return None
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    bounds = np.array([values.min(), values.max()])  # NaN comes through both
    if not np.isfinite(bounds).all():
        raise InputError("metrics: expected finite scores and maps, got NaN or infinity")
    values, anomalous = values.ravel(), anomalous.ravel()
    positive = values[anomalous]
    if positive.size in (0, values.size):
        return None
    order = np.argsort(positive)[::-1]
    positive = positive[order]
    ends = np.append(np.flatnonzero(positive[1:] != positive[:-1]), positive.size - 1)
    thresholds, evenly = positive[ends][::-1], _steps(bounds, steps)
    normals = counted(values, ~anomalous, np.concatenate([thresholds, evenly]), bounds)
    return Ranking(
        normal=normals.size,
        anomalous=positive,
        order=order,
        ends=ends,
        above=normals.above(thresholds)[::-1],
        from_here=normals.from_here(thresholds)[::-1],
        steps=evenly,
        above_steps=normals.above(evenly),
    )


def _steps(bounds: Float[ndarray, "2"], steps: int) -> Float[ndarray, "steps"]:
    """Space thresholds evenly, each rounded down to the values' type: the same values lie above it."""
    low, high = bounds
    with np.errstate(over="ignore"):
        step = (high - low) / max(1, steps)
    if not steps or not 0 < step < np.inf:
        return np.zeros(0, bounds.dtype)
    exact = np.minimum(np.arange(low, high, step), float(high))
    rounded = exact.astype(bounds.dtype)
    up = rounded > exact
    rounded[up] = np.nextafter(rounded[up], low)
    return rounded


def area(curve: Curve, *, limit: float = 1.0) -> float:
    """Integrate by the trapezoid rule from 0 to `limit`, interpolated there.

    numpy renamed its own function between the versions that vipx supports. The sum is kept in [0, limit], the
    range of the exact area of a curve within [0, 1]: rounding can leave it by 1e-16.
    """
    x, y = curve.x, curve.y
    inside = int(np.searchsorted(x, limit, side="right"))  # x[inside - 1] <= limit < x[inside]
    if inside < x.size:
        share = (limit - x[inside - 1]) / (x[inside] - x[inside - 1])
        x = np.append(x[:inside], limit)
        y = np.append(y[:inside], y[inside - 1] + share * (y[inside] - y[inside - 1]))
    return float(np.clip(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2), 0.0, limit))
