"""The cheapest threshold, where some defects are known and mistakes have a price."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from vipx.calibration.thresholds.order import just_above, sorted_scores
from vipx.errors import UsageError


@dataclass(frozen=True, slots=True)
class Costs:
    """What mistakes cost, in any one unit.

    Attributes:
        miss: A defective part that is not NG.
        prevalence: Share of the line's parts that are defective; not that of the labelled images.
        false_alarm: A good part that is NG.
    """

    miss: float
    prevalence: float
    false_alarm: float = 1.0

    def __post_init__(self) -> None:
        for name in ("false_alarm", "miss"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name}: expected a cost above 0, got {value}")
        if not 0 < self.prevalence < 1:
            raise UsageError(f"prevalence: expected between 0 and 1, got {self.prevalence}")

    @property
    def weights(self) -> tuple[float, float]:
        """What each part of the line costs if all good ones were NG, and if no defective one was."""
        return (1 - self.prevalence) * self.false_alarm, self.prevalence * self.miss

    def expected(self, false_alarms: float, missed: float) -> float:
        """Give the cost for each part of the line, of the shares of good and of defective parts misjudged."""
        alarm, miss = self.weights
        return alarm * false_alarms + miss * missed


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
    alarm, miss = costs.weights
    cost = alarm * false_alarms + miss * missed
    # Equal costs may differ by rounding.
    cheapest = np.flatnonzero(cost <= cost.min() * (1 + 1e-12) + 1e-15)
    return float(tried[cheapest[0]])


def _between(scores: Float64[ndarray, " images"]) -> Float64[ndarray, " tried"]:
    """Give one threshold for every way to part the scores: all NG, between neighbours, none NG."""
    distinct = np.unique(scores)
    # The middle of neighbouring floats may be the lower one, which would then be NG too.
    middles = np.maximum(distinct[:-1] / 2 + distinct[1:] / 2, np.nextafter(distinct[:-1], np.inf))
    return np.concatenate([distinct[:1], middles, [just_above(float(distinct[-1]))]])
