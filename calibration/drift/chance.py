"""How far a line without change strays by chance: the level at which its scores may raise an alarm.

All looks share the recipe's images, and two tests look at the same scores; sharing the rate of false alarms
equally among them (Bonferroni) counts the same chance many times. As both tests use nothing but ranks, what
they say of a line without change does not depend on its scores, and can be drawn at random in advance.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int
from numpy import ndarray
from scipy import stats

TESTS = 2  # of scores: Kolmogorov-Smirnov and the mean rank
_DRAWN = 100  # lines without change beyond the level, of all that are drawn
_MOST_LINES = 4000
_FEWEST = 20
_MOST_LOOKS = 50
_CONFIDENCE = 0.95
_SEED = 20261121


class Sizes(NamedTuple):
    """What is compared.

    Attributes:
        calibrated: Scores of the recipe.
        window: Images of one look.
        looks: Looks of one period.
    """

    calibrated: int
    window: int
    looks: int


@lru_cache(maxsize=32)
def score_level(sizes: Sizes, false_alarms: float) -> float:
    """Give the p-value at which a look at scores raises an alarm.

    Lines without change are drawn, each with its own calibration and with looks that share no image (those of
    a rolling window repeat one another, which only makes alarms rarer). The level is the highest order
    statistic of their lowest p-values that a new line, with 95 % confidence, falls below no more often than
    `false_alarms`, or Bonferroni's level where that is higher. Of more than 50 looks each 50 answer for their
    share; where that leaves too few lines to tell, it is Bonferroni's.

    Args:
        sizes: What is compared.
        false_alarms: Probability of any alarm over the looks of a period without change.

    Returns:
        p-value in (0, 1).
    """
    parts = math.ceil(sizes.looks / _MOST_LOOKS)
    share = false_alarms / parts
    lines = min(_MOST_LINES, math.ceil(_DRAWN / share))
    rank = int(stats.binom.ppf(1 - _CONFIDENCE, lines, share))
    equal = false_alarms / (sizes.looks * TESTS)
    if rank < _FEWEST:
        return equal
    one = sizes._replace(looks=min(sizes.looks, _MOST_LOOKS))
    generator = np.random.default_rng(_SEED)
    drawn = [_farthest(one, generator) for _ in range(lines)]
    lowest = np.minimum(_rank_p_values(drawn, one), _distribution_p_values(drawn, rank, one))
    return max(equal, float(np.sort(lowest)[rank - 1]))


class _Farthest(NamedTuple):
    """The look of one line that is farthest from its calibration, by either test.

    Attributes:
        statistic: Kolmogorov-Smirnov's.
        places: How many of the calibration's scores lie below each score of that look.
        above: Of the look with the most extreme mean rank: pairs above the calibration, less half of all.
    """

    statistic: float
    places: Int[ndarray, " window"]
    above: float


def _farthest(sizes: Sizes, generator: np.random.Generator) -> _Farthest:
    calibrated, window, looks = sizes
    reference = np.sort(generator.random(calibrated))
    places = np.searchsorted(reference, generator.random((looks, window)))
    rows = places + (calibrated + 1) * np.arange(looks)[:, None]
    counts = np.bincount(rows.ravel(), minlength=looks * (calibrated + 1))
    reached = counts.reshape(looks, -1).cumsum(axis=1)[:, :-1] / window
    steps = np.arange(1, calibrated + 1) / calibrated
    apart = np.maximum(np.abs(reached - steps), np.abs(reached - steps + 1 / calibrated))
    statistics = apart.max(axis=1)
    worst = int(statistics.argmax())
    above = np.abs(places.sum(axis=1) - calibrated * window / 2).max()
    return _Farthest(float(statistics[worst]), places[worst], float(above))


def _rank_p_values(drawn: list[_Farthest], sizes: Sizes) -> Float64[ndarray, " lines"]:
    """Give p-values of the mean ranks by their normal limit (Mann & Whitney 1947), two-sided."""
    pairs = sizes.calibrated * sizes.window
    deviation = math.sqrt(pairs * (sizes.calibrated + sizes.window + 1) / 12)
    above = np.array([line.above for line in drawn])
    values: Float64[ndarray, " lines"] = 2 * stats.norm.sf((above - 0.5) / deviation)
    return values


def _distribution_p_values(
    drawn: list[_Farthest], rank: int, sizes: Sizes
) -> Float64[ndarray, " lines"]:
    """Give exact p-values for the `rank` largest statistics, and 1 for the others, which cannot matter."""
    values = np.ones(len(drawn))
    reference = np.arange(sizes.calibrated) + 0.5  # so that a place k lies above k of them
    statistics = np.array([line.statistic for line in drawn])
    for index in np.argsort(-statistics, kind="stable")[:rank]:
        values[index] = stats.ks_2samp(reference, drawn[index].places, method="auto").pvalue
    return values
