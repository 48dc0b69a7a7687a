"""Limits keep the rate that was asked for, say what they rest on, and refuse what they cannot keep."""

import numpy as np
import pytest

from tests.calibration.test_collection import measured
from vipx.calibration.collection.goodset import examined
from vipx.calibration.collection.measurement import Measurement
from vipx.calibration.labelled import labelled
from vipx.calibration.limits import (
    Wish,
    joint_false_alarms,
    logits_of,
    probability_of,
    thresholds_from_measurements,
)
from vipx.errors import GateError


def parts(count: int, seed: int = 0) -> list[Measurement]:
    generator = np.random.default_rng(seed)
    numbers = probability(generator.normal(-2, 0.5, (count, 2)))
    return [
        measured(float(score), number, level=float(level))
        for number, (score, level) in enumerate(numbers)
    ]


def probability(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def test_two_criteria_share_the_rate() -> None:
    good = parts(200)
    groups = examined(good).groups
    both = thresholds_from_measurements(good, groups, Wish(rate=0.1))
    assert both.score is not None
    assert both.level is not None
    assert both.score.rate == both.level.rate == 0.05
    alone = thresholds_from_measurements(good, groups, Wish(rate=0.1, criteria="score"))
    assert alone.level is None
    assert alone.score is not None
    assert alone.score.rate == 0.1
    assert alone.score.ng <= both.score.ng
    assert joint_false_alarms(both)[1] <= 0.1


def test_the_true_rate_by_both_stays_below_the_one_asked_for() -> None:
    scores, levels = probability(np.random.default_rng(99).normal(-2, 0.5, (2, 20_000)))
    kept = 0
    for seed in range(1, 31):
        good = parts(120, seed)
        thresholds = thresholds_from_measurements(good, examined(good).groups, Wish(rate=0.1))
        assert thresholds.score is not None
        assert thresholds.level is not None
        ng = (scores >= thresholds.score.ng) | (levels >= thresholds.level.ng)
        kept += ng.mean() <= 0.1
    assert kept >= 27  # each limit holds with 95 %, and both together hold 0.1 more often than that


def test_ten_images_support_no_small_rate_and_the_line_says_how_many_would() -> None:
    good = parts(10)
    with pytest.raises(GateError, match="10 good images cannot support") as caught:
        thresholds_from_measurements(good, examined(good).groups, Wish())
    assert caught.value.exit_code == 6
    assert "119" in str(caught.value)


def test_a_fitted_tail_never_lies_beyond_what_a_score_can_reach() -> None:
    good = parts(60)
    wish = Wish(rate=0.01, criteria="score")
    limit = thresholds_from_measurements(good, examined(good).groups, wish).score
    assert limit is not None
    assert limit.kind == "tail"
    assert limit.fit is not None
    assert max(one.score for one in good) * 0.9 < limit.ng < 1
    assert "rests on a tail" in limit.warnings[0]


def test_log_odds_turn_back() -> None:
    numbers = np.array([0.0, 1e-9, 0.25, 0.5, 0.999, 1.0])
    logits = logits_of(numbers)
    assert np.isfinite(logits).all()
    assert (np.diff(logits) >= 0).all()
    back = np.array([probability_of(float(one)) for one in logits])
    np.testing.assert_allclose(back, numbers, atol=1e-7)


def test_defects_are_counted_and_missed_ones_are_named() -> None:
    good = parts(200)
    thresholds = thresholds_from_measurements(good, examined(good).groups, Wish(rate=0.1))
    bad = [measured(0.9, 500, level=0.1), measured(0.1, 501, level=0.9), measured(0.05, 502)]
    found = labelled(thresholds, good, bad)
    assert (found.found.count, found.found.images) == (2, 3)
    assert found.missed == ("502.png",)
    assert found.false_alarms.share <= 0.1
    below = sum(one.score < 0.05 for one in good), sum(one.score < 0.1 for one in good)
    assert found.auroc == pytest.approx((200 + sum(below)) / 600, abs=1e-12)
    assert found.found.lower < 2 / 3 < found.found.upper
