"""The two tests of drift err as often as they say, and see what has changed."""

import math

import numpy as np
import pytest
from numpy import ndarray

from vipx.calibration.drift.evidence import feature_change, score_change


def pictures(generator: np.random.Generator, images: int, shift: float = 0.0) -> ndarray:
    """Features near a common direction, as those of one product are."""
    drawn = generator.normal(scale=0.02, size=(images, 48))
    drawn[:, 0] += 1
    drawn[:, 1] += shift
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def test_scores_of_hand_counted_distributions() -> None:
    change = score_change(np.array([1.0, 2, 3, 4]), np.array([3.5, 4.5, 5.5, 6.5]), 0.01)
    assert change.statistic == 0.75
    # Of the 70 ways to deal out 8 different scores, 16 are at least 3/4 apart (Gnedenko & Korolyuk 1951).
    assert change.p_value == pytest.approx(16 / 70)
    assert (change.calibrated, change.median) == (2.5, 5.0)
    assert change.above == 15 / 16
    # Of the 70, 2 have a rank sum as far out as 1 + 2 + 3 + 5, and as many are farther: 4 / 70.
    assert change.shift_p_value == pytest.approx(4 / 70)
    assert change.lowest == min(change.p_value, change.shift_p_value)


def test_scores_alike_have_high_rank_sums_no_more_often_than_they_may() -> None:
    generator = np.random.default_rng(7)
    values = [
        score_change(generator.normal(size=20), generator.normal(size=30), 0.01).shift_p_value
        for _ in range(200)
    ]
    assert sum(value <= 0.05 for value in values) <= 22  # 10 expected; more: below 1e-3
    assert 70 <= sum(value <= 0.5 for value in values) <= 130


def test_equal_scores_prove_no_shift_though_few_differ() -> None:
    """Nearly all scores are 0: five others all among the reference are rarer than a normal null would say."""
    reference, scores = np.zeros(40), np.zeros(200)
    assert score_change(reference, scores, 1e-3).shift_p_value == 1.0
    reference[:5] = 1.0
    # All five among 40 of 240: C(40, 5) / C(240, 5) = 1.1e-4; a normal approximation would say 6e-7.
    assert score_change(reference, scores, 1e-3).shift_p_value >= 1e-4


def test_features_alike_alarm_no_more_often_than_they_may() -> None:
    generator = np.random.default_rng(0)
    values = [
        feature_change(pictures(generator, 20), pictures(generator, 30), 0.01).p_value
        for _ in range(80)
    ]
    assert sum(value <= 0.05 for value in values) <= 12  # 4 expected; more: below 1e-3
    assert 25 <= sum(value <= 0.5 for value in values) <= 55


def test_features_that_moved_are_seen_down_to_the_level() -> None:
    generator = np.random.default_rng(1)
    change = feature_change(pictures(generator, 40), pictures(generator, 100, 0.03), 1e-3)
    assert change.p_value <= 1e-3
    assert change.distance > 1.5 * change.expected


def test_distance_is_that_of_the_means() -> None:
    generator = np.random.default_rng(2)
    before, after = pictures(generator, 30), pictures(generator, 50, 0.01)
    change = feature_change(before, after, 0.05)
    gap = before.astype(np.float64).mean(axis=0) - after.astype(np.float64).mean(axis=0)
    assert change.distance == pytest.approx(math.sqrt((gap**2).sum()), rel=1e-9)


def test_equal_pictures_are_no_change() -> None:
    same = np.tile(pictures(np.random.default_rng(3), 1), (40, 1))
    assert feature_change(same[:20], same[20:], 1e-3).p_value == 1.0


def test_the_same_images_give_the_same_evidence() -> None:
    generator = np.random.default_rng(4)
    before, after = pictures(generator, 30), pictures(generator, 50)
    assert feature_change(before, after, 0.01) == feature_change(before, after, 0.01)
