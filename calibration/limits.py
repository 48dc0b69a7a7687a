"""From measured good images to the limits of a recipe."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from vipx.calibration.collection.measurement import Measurement
from vipx.calibration.thresholds.duplicates import Groups, independent_scores
from vipx.calibration.thresholds.estimate import (
    Threshold,
    false_alarm_interval,
    images_needed,
    threshold_from_scores,
)
from vipx.recipe import FitRecord, LimitRecord, ThresholdsRecord

Criteria = Literal["score", "map", "both"]
# A probability in float32 is never nearer to 0 or 1 than this but for 0 and 1 themselves.
_EDGE = 2.0**-24


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for.

    Attributes:
        rate: False-alarm rate of the verdict NG. Two criteria get half of it each, since alarms can add up.
        confidence: That the true rate is no higher.
        criteria: What decides: the image's score, the heat map, or both.
        area: Minimal defect area in pixels of the model's input.
    """

    rate: float = 0.05
    confidence: float = 0.95
    criteria: Criteria = "both"
    area: int = 1

    @property
    def each(self) -> float:
        """The rate of one criterion."""
        return self.rate / 2 if self.criteria == "both" else self.rate


def thresholds_from_measurements(
    good: Sequence[Measurement], groups: Groups, wish: Wish
) -> ThresholdsRecord:
    """Choose limits from good images; those that repeat one another count once, by their highest number.

    Raises:
        GateError: So few images cannot support the rate; the line says how many could.
        UsageError: The rate or the confidence is outside its range.
    """
    score = level = None
    if wish.criteria != "map":
        score = _limit(independent_scores(np.array([one.score for one in good]), groups), wish)
    if wish.criteria != "score":
        level = _limit(independent_scores(np.array([one.level for one in good]), groups), wish)
    return ThresholdsRecord(score=score, level=level, minimal_area=wish.area)


def _limit(numbers: Float64[ndarray, " images"], wish: Wish) -> LimitRecord:
    """Fit a tail where one is needed on logits, which have no end at 1; ranks need no scale."""
    if images_needed(wish.each, wish.confidence) <= numbers.size:
        found = threshold_from_scores(numbers, rate=wish.each, confidence=wish.confidence)
        return _record(found, numbers, lambda value: value)
    logits = logits_of(numbers)
    found = threshold_from_scores(logits, rate=wish.each, confidence=wish.confidence)
    return _record(found, logits, probability_of)


def _record(
    found: Threshold,
    numbers: Float64[ndarray, " images"],
    scale: Callable[[float], float],
) -> LimitRecord:
    alarms = false_alarm_interval(numbers, found)
    return LimitRecord(
        ng=scale(found.value),
        review=scale(found.review),
        rate=found.rate,
        confidence=found.confidence,
        kind=found.kind,
        interval=(scale(found.interval.lower), scale(found.interval.upper)),
        false_alarms=(alarms.lower, alarms.upper),
        images=found.images,
        warnings=found.warnings,
        fit=None if found.fit is None else FitRecord(**asdict(found.fit)),
    )


def logits_of(numbers: Float64[ndarray, " images"]) -> Float64[ndarray, " images"]:
    """Turn probabilities into log odds; 0 and 1 become the nearest that float32 has."""
    inside = np.clip(numbers, _EDGE, 1 - _EDGE)
    return np.log(inside / (1 - inside))


def probability_of(logit: float) -> float:
    """Turn log odds back."""
    return float(1 / (1 + np.exp(-logit)))


def joint_false_alarms(thresholds: ThresholdsRecord) -> tuple[float, float]:
    """Bound the rate of good images that are NG by any criterion: the larger lower end, the upper ones' sum."""
    limits = [one for one in (thresholds.score, thresholds.level) if one is not None]
    lower = max(one.false_alarms[0] for one in limits)
    return lower, min(1.0, sum(one.false_alarms[1] for one in limits))
