"""What a number of images can prove about a quantile, whatever their distribution.

If F is any distribution and S_(1) <= ... <= S_(n) are its ordered draws, the number of draws below its quantile
at 1 - p is binomial (n, 1 - p). So S_(k) is at or above that quantile with probability P(Bin <= k - 1), with
equality for continuous F, and ties can only help. (David & Nagaraja 2003, Order Statistics, 7.1.)
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from scipy import stats

from vipx.errors import UsageError

# (1 - p)^n computed for the very p that it was solved for may miss by rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which of n sorted draws, counted from 1, lie at or below and at or above the quantile."""

    lower: int
    upper: int


def smallest_rate(images: int, confidence: float) -> float:
    """Give the smallest false-alarm rate that so many good images can prove, whatever their distribution.

    It solves (1 - rate)^images = 1 - confidence: the largest score of all is then the threshold.
    """
    check_confidence(confidence)
    if images < 1:
        raise UsageError(f"images: expected at least 1, got {images}")
    return -math.expm1(math.log1p(-confidence) / images)


def images_needed(rate: float, confidence: float) -> int:
    """Give the smallest number of good images that can prove the rate, whatever their distribution."""
    check_rate(rate)
    check_confidence(confidence)
    exact = math.log1p(-confidence) / math.log1p(-rate)
    return max(1, math.ceil(exact * (1 - _ROUNDING)))


def ranks_of(images: int, rate: float, confidence: float) -> Ranks | None:
    """Find the narrowest ranks that hold the quantile at `1 - rate`, each end with the confidence given.

    None where even the largest draw is above the quantile with less confidence.
    """
    below = stats.binom(images, 1 - rate)
    enough = confidence - _ROUNDING
    ranks = np.arange(1, images + 1)
    above = np.flatnonzero(below.cdf(ranks - 1) >= enough)
    beneath = np.flatnonzero(below.sf(ranks - 1) >= enough)
    if not above.size or not beneath.size:
        return None
    return Ranks(lower=int(ranks[beneath[-1]]), upper=int(ranks[above[0]]))


def just_above(score: float) -> float:
    """Give the smallest number above a score: a threshold at which that very score still passes.

    So P(S >= threshold) = 1 - F(score) also where many scores are equal.
    """
    return float(np.nextafter(score, np.inf))


def sorted_scores(scores: Float64[ndarray, " images"]) -> Float64[ndarray, " images"]:
    """Sort a copy of the scores, lowest first.

    Raises:
        UsageError: There is none, or one is not a number.
    """
    if not scores.size:
        raise UsageError("scores: expected at least one")
    if not np.isfinite(scores).all():
        raise UsageError("scores: expected finite numbers; leave out what could not be scored")
    return np.sort(scores)


def check_rate(rate: float) -> None:
    """Refuse a false-alarm rate outside (0, 0.5]."""
    if not 0 < rate <= 0.5:
        raise UsageError(f"rate: expected a number above 0 and up to 0.5, got {rate}")


def check_confidence(confidence: float) -> None:
    """Refuse a confidence outside [0.5, 1)."""
    if not 0.5 <= confidence < 1:
        raise UsageError(f"confidence: expected a number from 0.5 to below 1, got {confidence}")
