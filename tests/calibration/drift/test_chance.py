"""The level of the scores' tests errs as often as it may, and finds more than Bonferroni's does."""

import numpy as np
import pytest
from scipy import stats

from vipx.calibration.drift.chance import Sizes, score_level

SIZES = Sizes(calibrated=30, window=40, looks=8)


def lowest_p_value(generator: np.random.Generator, sizes: Sizes) -> float:
    """Watch a line without change for one period, with SciPy's tests."""
    known = generator.gumbel(size=sizes.calibrated)
    values = []
    for _ in range(sizes.looks):
        scores = generator.gumbel(size=sizes.window)
        values.append(stats.ks_2samp(known, scores).pvalue)
        values.append(stats.mannwhitneyu(known, scores, method="asymptotic").pvalue)
    return float(min(values))


def test_a_period_without_change_alarms_as_often_as_stated() -> None:
    level = score_level(SIZES, 0.1)
    generator = np.random.default_rng(0)
    alarms = sum(lowest_p_value(generator, SIZES) <= level for _ in range(400))
    assert stats.binomtest(alarms, 400, 0.1).pvalue > 1e-3


@pytest.mark.parametrize(
    "sizes", [Sizes(40, 200, 50), Sizes(1024, 200, 50), Sizes(40, 20, 5), Sizes(25, 50, 120)]
)
def test_level_is_bonferronis_or_more(sizes: Sizes) -> None:
    assert 0.05 / sizes.looks / 2 <= score_level(sizes, 0.05) < 0.05


def test_looks_that_share_few_calibrated_scores_gain_most() -> None:
    few, many = (score_level(Sizes(size, 200, 50), 0.05) for size in (40, 1024))
    assert few > 2 * many


def test_level_is_the_same_each_time() -> None:
    assert score_level.__wrapped__(SIZES, 0.05) == score_level(SIZES, 0.05)


def test_a_rate_too_small_to_be_drawn_is_shared_equally() -> None:
    assert score_level(SIZES, 1e-3) == 1e-3 / 8 / 2
