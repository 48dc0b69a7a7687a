"""From measured good images to the limits of a recipe."""

from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from vipx.calibration.collection.pictures import Pictures
from vipx.calibration.thresholds import blocks, tail
from vipx.calibration.thresholds.estimate import (
    Interval,
    Kind,
    false_alarm_interval,
    tail_warning,
    threshold_from_scores,
)
from vipx.calibration.thresholds.order import check_confidence, check_rate, just_above
from vipx.errors import GateError
from vipx.recipe import FitRecord, LimitRecord, ThresholdsRecord
from vipx.verdict import Limit, Limits

Criteria = Literal["score", "map", "both"]
DEFAULT_RATE = 0.05
LARGEST_DEFAULT = 0.2
# A probability in float32 is never nearer to 0 or 1 than this but for 0 and 1 themselves.
_EDGE = 2.0**-24


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for.

    Attributes:
        rate: False-alarm rate of the verdict NG, by all numbers that decide together. None takes 5 %, or where
            so few images cannot prove it whatever their distribution, the smallest rate that they can.
        confidence: That the true rate is no higher.
        criteria: What decides: the image's score, the heat map, or both.
        area: Minimal defect area in pixels of the model's input.
    """

    rate: float | None = None
    confidence: float = 0.95
    criteria: Criteria = "both"
    area: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers that decide."""
        return {"score": ("score",), "map": ("level",), "both": ("score", "level")}[self.criteria]


@dataclass(frozen=True, slots=True)
class Plan:
    """How limits are chosen from so many pictures, and so can be again without some of them.

    Attributes:
        kind: By order statistics of all numbers together, or by a tail fitted to each.
        rate: That is promised, by all numbers together.
        wish: What was asked for.
        ng: Steps of `blocks` to the NG limits, for order statistics.
        review: Steps to the REVIEW limits.
    """

    kind: Kind
    rate: float
    wish: Wish
    ng: int = 0
    review: int = 0

    @property
    def each(self) -> float:
        """The rate of one number's fitted tail: an equal part, since alarms can add up."""
        return self.rate / len(self.wish.names)

    def limits(self, good: Pictures) -> Limits:
        """Choose limits."""
        names = self.wish.names
        columns = np.stack([getattr(good, name) for name in names], axis=1)
        if self.kind == "order":
            ng, review = (
                blocks.cut(columns, min(steps, len(columns))) for steps in (self.ng, self.review)
            )
            ends = [
                (just_above(low), just_above(high)) for low, high in zip(review, ng, strict=True)
            ]
        else:
            ends = [self._tail_ends(column) for column in columns.T]
        found = {name: Limit(*each) for name, each in zip(names, ends, strict=True)}
        return Limits(found.get("score"), found.get("level"), self.wish.area)

    def _tail_ends(self, numbers: Float64[ndarray, " pictures"]) -> tuple[float, float]:
        surface = tail.surface_of(tail.tail_of(np.sort(logits_of(numbers))))
        ends = tail.quantile_ends(surface, self.each, self.wish.confidence)
        return probability_of(ends.lower), probability_of(ends.upper)


def plan_of(pictures: int, wish: Wish) -> Plan:
    """Say how so many pictures keep a wish: by order statistics if they can, else by fitted tails.

    Raises:
        GateError: So few cannot support the rate; the line says how many could.
        UsageError: The rate or the confidence is outside its range.
    """
    check_confidence(wish.confidence)
    numbers, confidence = len(wish.names), wish.confidence
    rate = wish.rate
    if rate is None:
        rate = max(DEFAULT_RATE, blocks.smallest_rate_of(pictures, numbers, confidence))
        _check_default(pictures, rate, wish)
    check_rate(rate)
    ng = blocks.blocks_within(pictures, rate, confidence, numbers)
    if ng:
        beyond = blocks.blocks_beyond(pictures, rate, confidence)
        return Plan("order", rate, wish, ng, max(beyond, ng))
    smallest = tail.smallest_tail_rate(pictures)
    if smallest is None or rate / numbers < smallest * (1 - 1e-9):
        raise _too_few(pictures, rate, wish)
    return Plan("tail", rate, wish)


def rate_warning(pictures: int, plan: Plan) -> str | None:
    """Say in one sentence that the default rate could not be kept; None if it was, or another was asked for."""
    if plan.wish.rate is not None or plan.rate <= DEFAULT_RATE:
        return None
    needed = blocks.images_needed_for(DEFAULT_RATE, len(plan.wish.names), plan.wish.confidence)
    return (
        f"the good images' limits hold a false-alarm rate of {plan.rate:.3g}, the smallest that {pictures} "
        f"different good images prove; {needed} would hold {DEFAULT_RATE:g}"
    )


def thresholds_from_pictures(good: Pictures, plan: Plan) -> ThresholdsRecord:
    """Choose limits from good pictures, with all that is known of them.

    Raises:
        GateError: A tail cannot be fitted.
    """
    record = _by_order if plan.kind == "order" else _by_tail
    limits = {name: record(good, plan, name) for name in plan.wish.names}
    together = None
    if plan.kind == "order":
        interval = blocks.rate_interval(plan.ng, good.count, plan.wish.confidence)
        together = (interval.lower, interval.upper)
    return ThresholdsRecord(
        score=limits.get("score"),
        level=limits.get("level"),
        minimal_area=plan.wish.area,
        false_alarms=together,
    )


def _by_order(good: Pictures, plan: Plan, name: str) -> LimitRecord:
    limit: Limit = getattr(plan.limits(good), name)
    numbers: Float64[ndarray, " pictures"] = getattr(good, name)
    # By this number alone: at least as rare as by all, at least as frequent as above the highest picture.
    confidence = plan.wish.confidence
    lower = blocks.rate_interval(1, good.count, confidence).lower
    upper = blocks.rate_interval(plan.ng, good.count, confidence).upper
    below = [float(np.nextafter(end, -np.inf)) for end in (limit.review, limit.ng)]
    distinct = np.unique(numbers).size
    told = (
        f"only {distinct} of {good.count} numbers differ: equal images, or numbers at their limit"
    )
    return LimitRecord(
        ng=limit.ng,
        review=limit.review,
        rate=plan.rate,
        confidence=confidence,
        kind="order",
        interval=(below[0], below[1]),
        false_alarms=(lower, upper),
        images=good.count,
        warnings=(told,) if distinct < 0.9 * good.count else (),
    )


def _by_tail(good: Pictures, plan: Plan, name: str) -> LimitRecord:
    """Fit a tail to logits, which have no end at 1."""
    logits, confidence = logits_of(getattr(good, name)), plan.wish.confidence
    found = threshold_from_scores(logits, rate=plan.each, confidence=confidence, kind="tail")
    alarms: Interval = false_alarm_interval(logits, found)
    # What one number says of itself would ask for more images than all need together.
    own = tail_warning(good.count, plan.each, confidence)
    others = tuple(each for each in found.warnings if each != own)
    return LimitRecord(
        ng=probability_of(found.value),
        review=probability_of(found.review),
        rate=found.rate,
        confidence=confidence,
        kind="tail",
        interval=(probability_of(found.interval.lower), probability_of(found.interval.upper)),
        false_alarms=(alarms.lower, alarms.upper),
        images=found.images,
        warnings=(_tail_warning(good.count, plan), *others),
        fit=None if found.fit is None else FitRecord(**asdict(found.fit)),
    )


def _tail_warning(pictures: int, plan: Plan) -> str:
    numbers, confidence = len(plan.wish.names), plan.wish.confidence
    smallest = blocks.smallest_rate_of(pictures, numbers, confidence)
    needed = blocks.images_needed_for(plan.rate, numbers, confidence)
    return (
        f"{pictures} images prove a false-alarm rate of {smallest:.3g} at best; {plan.rate:g} rests on a "
        f"fitted tail ({needed} images would need no fit)"
    )


def _check_default(pictures: int, rate: float, wish: Wish) -> None:
    if rate > LARGEST_DEFAULT:
        raise _too_few(pictures, LARGEST_DEFAULT, replace(wish, rate=LARGEST_DEFAULT))


def _too_few(pictures: int, rate: float, wish: Wish) -> GateError:
    numbers = len(wish.names)
    fitted, smallest = "", blocks.smallest_rate_of(pictures, numbers, wish.confidence)
    fewest, least = tail.tail_images_needed(rate / numbers), tail.smallest_tail_rate(pictures)
    needed = blocks.images_needed_for(rate, numbers, wish.confidence)
    if fewest < needed:
        fitted = f" ({fewest} for a fitted tail)"
    if least is not None:
        smallest = min(smallest, numbers * least)
    return GateError(
        f"{pictures} good images cannot support a false-alarm rate of {rate:g} with confidence "
        f"{wish.confidence:g}; take {needed} or more{fitted}, or ask for a rate from {smallest:.3g} on"
    )


def logits_of(numbers: Float64[ndarray, " images"]) -> Float64[ndarray, " images"]:
    """Turn probabilities into log odds; 0 and 1 become the nearest that float32 has."""
    inside = np.clip(numbers, _EDGE, 1 - _EDGE)
    return np.log(inside / (1 - inside))


def probability_of(logit: float) -> float:
    """Turn log odds back."""
    return float(1 / (1 + np.exp(-logit)))


def joint_false_alarms(thresholds: ThresholdsRecord) -> tuple[float, float]:
    """Bound the rate of good images that are NG by any number.

    Where it is not known of all together: the larger lower end, and the upper ones' sum.
    """
    if thresholds.false_alarms is not None:
        return thresholds.false_alarms
    limits = [one for one in (thresholds.score, thresholds.level) if one is not None]
    lower = max(one.false_alarms[0] for one in limits)
    return lower, min(1.0, sum(one.false_alarms[1] for one in limits))
