"""A threshold from the scores of good images: what was asked for, what it rests on, how sure it is."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from scipy import stats

from vipx.calibration.thresholds import order, pareto, tail
from vipx.calibration.thresholds.order import images_needed, smallest_rate
from vipx.errors import GateError

__all__ = [
    "Interval",
    "Kind",
    "TailFit",
    "Threshold",
    "false_alarm_interval",
    "images_needed",
    "smallest_rate",
    "tail_warning",
    "threshold_from_scores",
]

Kind = Literal["order", "tail"]

_POOR_FIT = 0.05
_HEAVY = 0.5
_FEW_DISTINCT = 0.9
_FEWEST_EXCESSES = 12


@dataclass(frozen=True, slots=True)
class Interval:
    """A range and the probability with which its making covers the truth."""

    lower: float
    upper: float
    confidence: float


@dataclass(frozen=True, slots=True)
class TailFit:
    """The generalised Pareto distribution fitted to the largest scores.

    Attributes:
        shape: Below 0 the tail ends somewhere, 0 is exponential, above 0 it falls as a power.
        scale: In units of the score.
        location: Score over which the excesses are counted.
        exceedances: How many.
        statistic: Anderson-Darling's.
        p_value: How often data from the fit itself would fit worse.
    """

    shape: float
    scale: float
    location: float
    exceedances: int
    statistic: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where NG and REVIEW begin, and why there.

    Attributes:
        value: Scores from here on are NG. At most the share `rate` of good parts scores so, with `confidence`.
        review: Scores from here to `value` are REVIEW. At least the share `rate` of good parts scores from
            here on, with `confidence`; equal to `value` where there is no band.
        rate: False-alarm rate that was asked for.
        confidence: Of each of the two statements by itself.
        kind: `order` holds for every distribution, `tail` rests on a fitted model.
        interval: Of the score that exactly `rate` of good parts lies beyond. Both ends hold together with
            its own confidence, 2 * `confidence` - 1.
        images: How many scores it rests on.
        warnings: What a person should know before relying on it; one sentence each.
        fit: The model, for `tail`.
    """

    value: float
    review: float
    rate: float
    confidence: float
    kind: Kind
    interval: Interval
    images: int
    warnings: tuple[str, ...]
    fit: TailFit | None


def threshold_from_scores(
    scores: Float64[ndarray, " images"],
    *,
    rate: float,
    confidence: float = 0.95,
    kind: Kind | None = None,
) -> Threshold:
    """Choose the threshold that good parts exceed at most at `rate`, with `confidence`.

    Args:
        scores: Of good images, in any order and unit; higher is more anomalous.
        rate: Share of good parts that may be NG, above 0 and up to 0.5.
        confidence: From 0.5 to below 1.
        kind: None takes order statistics where the images suffice, else a fitted tail, and says so.

    Raises:
        GateError: So few images cannot support the rate; the line says how many could.
        UsageError: A number is outside its range, or a score is none.
    """
    order.check_rate(rate)
    order.check_confidence(confidence)
    ordered = order.sorted_scores(scores)
    chosen = kind or ("order" if images_needed(rate, confidence) <= ordered.size else "tail")
    _check_supported(ordered.size, rate, confidence, chosen)
    if chosen == "order":
        return _by_order(ordered, rate, confidence)
    return _by_tail(ordered, rate, confidence)


def false_alarm_interval(scores: Float64[ndarray, " images"], threshold: Threshold) -> Interval:
    """Bound the true false-alarm rate at `threshold.value`, chosen from these scores.

    Each end holds with the threshold's confidence. The upper end of a tail is the rate asked for; that of an
    order statistic is the rate that its rank proves, which may be smaller.
    """
    ordered = order.sorted_scores(scores)
    together = 2 * threshold.confidence - 1
    if threshold.kind == "tail":
        lower = _lowest_rate(tail.surface_of(tail.tail_of(ordered)), threshold)
        return Interval(lower, threshold.rate, together)
    passed = int(np.searchsorted(ordered, threshold.value, side="left"))
    alarms = ordered.size - passed
    # P(S > S_(k)) of n draws is Beta(n - k + 1, k).
    beta = stats.beta(alarms + 1, max(passed, 1))
    ends = beta.ppf([1 - threshold.confidence, threshold.confidence])
    return Interval(float(ends[0]), float(ends[1]), together)


def _lowest_rate(surface: tail.Surface, threshold: Threshold) -> float:
    """Find the rate whose quantile's lower end is the threshold: larger ones are plausible, smaller refuted."""
    low, high = math.log(threshold.rate) - 12, math.log(threshold.rate)
    if _lower_end(surface, low, threshold) < threshold.value:
        return 0.0
    for _ in range(24):
        middle = (low + high) / 2
        plausible = _lower_end(surface, middle, threshold) < threshold.value
        low, high = (low, middle) if plausible else (middle, high)
    return math.exp(low)


def _lower_end(surface: tail.Surface, log_rate: float, threshold: Threshold) -> float:
    return tail.quantile_ends(surface, math.exp(log_rate), threshold.confidence).lower


def _check_supported(images: int, rate: float, confidence: float, kind: Kind) -> None:
    enough = images_needed(rate, confidence)
    smallest = tail.smallest_tail_rate(images)
    if kind == "order" and images >= enough:
        return
    if kind == "tail" and smallest is not None and rate >= smallest * (1 - 1e-9):
        return
    could = smallest_rate(images, confidence)
    fitted = "" if kind == "order" else f" ({tail.tail_images_needed(rate)} for a fitted tail)"
    raise GateError(
        f"{images} good images cannot support a false-alarm rate of {rate:g} with confidence "
        f"{confidence:g}; take {enough} or more{fitted}, or ask for a rate from "
        f"{min(could, smallest or could):.3g} on"
    )


def _by_order(ordered: Float64[ndarray, " images"], rate: float, confidence: float) -> Threshold:
    ranks = order.ranks_of(ordered.size, rate, confidence)
    assert ranks is not None  # _check_supported
    lower, upper = float(ordered[ranks.lower - 1]), float(ordered[ranks.upper - 1])
    value = order.just_above(upper)
    return Threshold(
        value=value,
        review=order.just_above(lower),
        rate=rate,
        confidence=confidence,
        kind="order",
        interval=Interval(lower, upper, 2 * confidence - 1),
        images=ordered.size,
        warnings=_told_of_scores(ordered, value),
        fit=None,
    )


def _by_tail(ordered: Float64[ndarray, " images"], rate: float, confidence: float) -> Threshold:
    largest = tail.tail_of(ordered)
    _check_tail(largest, ordered, rate, confidence)
    ends = tail.quantile_ends(tail.surface_of(largest), rate, confidence)
    fitted = _fit(largest)
    fit_needed = tail_warning(ordered.size, rate, confidence)
    return Threshold(
        value=ends.upper,
        review=ends.lower,
        rate=rate,
        confidence=confidence,
        kind="tail",
        interval=Interval(ends.lower, ends.upper, 2 * confidence - 1),
        images=ordered.size,
        warnings=(
            *((fit_needed,) if fit_needed else ()),
            *_told_of_fit(fitted),
            *_told_of_scores(ordered, ends.upper),
        ),
        fit=fitted,
    )


def _check_tail(
    largest: tail.Tail, ordered: Float64[ndarray, " images"], rate: float, confidence: float
) -> None:
    distinct = np.unique(largest.excesses).size
    if distinct < _FEWEST_EXCESSES:
        raise GateError(
            f"a tail cannot be fitted: only {distinct} different scores are among the largest, "
            f"expected {_FEWEST_EXCESSES}; take images that differ, or "
            f"{images_needed(rate, confidence)} of them so that no fit is needed"
        )
    if rate > largest.share / 2:
        raise GateError(
            f"a fitted tail holds the largest {largest.share:.0%} of the scores, which a rate of "
            f"{rate:g} is not far enough within; use order statistics, or a rate up to "
            f"{largest.share / 2:.3g}"
        )


def _fit(largest: tail.Tail) -> TailFit:
    fitted = pareto.fit(largest.excesses[None])
    tested = pareto.goodness(largest.excesses, fitted)
    return TailFit(
        shape=float(fitted.shape[0]),
        scale=float(fitted.scale[0]),
        location=largest.level,
        exceedances=largest.excesses.size,
        statistic=tested.statistic,
        p_value=tested.p_value,
    )


def tail_warning(images: int, rate: float, confidence: float) -> str | None:
    """Say in one sentence that a rate rests on a fitted tail; None where no fit is needed."""
    if images >= images_needed(rate, confidence):
        return None
    return (
        f"{images} images prove a false-alarm rate of {smallest_rate(images, confidence):.3g} at best; "
        f"{rate:g} rests on a tail fitted to the largest of them "
        f"({images_needed(rate, confidence)} images would need no fit)"
    )


def _told_of_fit(fitted: TailFit) -> tuple[str, ...]:
    told = []
    if fitted.p_value <= _POOR_FIT:
        told.append(
            f"the fitted tail does not fit (Anderson-Darling {fitted.statistic:.2f}, "
            f"p = {fitted.p_value:.2f}); the stated confidence does not hold for it: look for two "
            f"kinds of parts among the images, or take enough images for order statistics"
        )
    if fitted.shape > _HEAVY:
        told.append(
            f"the tail is heavy (shape {fitted.shape:.2f}): some good images score far above the "
            f"rest; look at them"
        )
    return tuple(told)


def _told_of_scores(ordered: Float64[ndarray, " images"], value: float) -> tuple[str, ...]:
    told = []
    distinct = np.unique(ordered).size
    if distinct < _FEW_DISTINCT * ordered.size:
        told.append(
            f"only {distinct} of {ordered.size} scores differ: equal images, or scores at their limit"
        )
    if value > 1 and ordered[0] >= 0 and ordered[-1] <= 1:
        told.append(
            f"the threshold {value:.4g} is above 1, where all scores lie below: if scores cannot "
            f"exceed 1, no part is ever NG; take more images or a larger rate"
        )
    return tuple(told)
