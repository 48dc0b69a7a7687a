"""Thresholds where some defects are known: what a point costs, finds and misses."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from vipx.calibration.thresholds.duplicates import clopper_pearson
from vipx.calibration.thresholds.estimate import Interval
from vipx.calibration.thresholds.order import check_confidence, just_above, sorted_scores
from vipx.errors import UsageError

Scores = Float64[ndarray, " images"]


@dataclass(frozen=True, slots=True)
class Costs:
    """What mistakes cost, in any one unit.

    Attributes:
        false_alarm: A good part called NG.
        miss: A defective part called OK.
        prevalence: Share of the line's parts that are defective; not that of the labelled images.
    """

    false_alarm: float = 1.0
    miss: float = 10.0
    prevalence: float = 0.01

    def __post_init__(self) -> None:
        for name in ("false_alarm", "miss"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name}: expected a cost above 0, got {value}")
        if not 0 < self.prevalence < 1:
            raise UsageError(f"prevalence: expected between 0 and 1, got {self.prevalence}")


@dataclass(frozen=True, slots=True)
class Share:
    """A share of images as counted, and the exact interval of the probability behind it."""

    count: int
    images: int
    interval: Interval

    @property
    def value(self) -> float | None:
        """The share; None of no images."""
        return self.count / self.images if self.images else None


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a threshold does to labelled images.

    Attributes:
        threshold: Scores from here on are NG.
        recall: Of the defects, those called NG.
        false_alarm: Of the good ones, those called NG.
        precision: Of all called NG, the defects: among these images, not on the line.
    """

    threshold: float
    recall: Share
    false_alarm: Share
    precision: Share


def operating_point(
    good: Float64[ndarray, " good"],
    defects: Float64[ndarray, " defects"],
    threshold: float,
    confidence: float = 0.95,
) -> OperatingPoint:
    """Count what a threshold does, with exact intervals by Clopper & Pearson (1934)."""
    check_confidence(confidence)
    alarms = int((sorted_scores(good) >= threshold).sum())
    found = int((sorted_scores(defects) >= threshold).sum())
    return OperatingPoint(
        threshold=threshold,
        recall=_share(found, defects.size, confidence),
        false_alarm=_share(alarms, good.size, confidence),
        precision=_share(found, found + alarms, confidence),
    )


def _share(count: int, images: int, confidence: float) -> Share:
    ends = clopper_pearson(count, images, confidence) if images else (0.0, 1.0)
    return Share(count, images, Interval(*ends, confidence))


def cheapest_threshold(
    good: Float64[ndarray, " good"], defects: Float64[ndarray, " defects"], costs: Costs
) -> float:
    """Find the threshold with the least expected cost for each part of the line.

        cost(t) = (1 - prevalence) false_alarm P(good >= t) + prevalence miss P(defect < t)

    Between two scores the middle is taken; of equally cheap thresholds the lowest, which misses least.
    """
    tried = _between(np.concatenate([good, defects]))
    false_alarms = 1 - np.searchsorted(sorted_scores(good), tried) / good.size
    missed = np.searchsorted(sorted_scores(defects), tried) / defects.size
    share = costs.prevalence
    cost = (1 - share) * costs.false_alarm * false_alarms + share * costs.miss * missed
    # Equal costs may differ by rounding.
    cheapest = np.flatnonzero(cost <= cost.min() * (1 + 1e-12) + 1e-15)
    return float(tried[cheapest[0]])


def _between(scores: Float64[ndarray, " images"]) -> Float64[ndarray, " tried"]:
    """Give one threshold for every way to part the scores: all NG, between neighbours, none NG."""
    distinct = np.unique(scores)
    # The middle of neighbouring floats may be the lower one, which would then be NG too.
    middles = np.maximum(distinct[:-1] / 2 + distinct[1:] / 2, np.nextafter(distinct[:-1], np.inf))
    return np.concatenate([distinct[:1], middles, [just_above(float(distinct[-1]))]])
