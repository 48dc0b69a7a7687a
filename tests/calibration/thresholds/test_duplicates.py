"""Pictures that repeat others count once, and ones that stand apart are pointed out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from vipx.calibration.thresholds.duplicates import (
    OUTLIER,
    Groups,
    deviations_above,
    distances,
    highest_of,
    near_duplicates,
    outliers,
)
from vipx.calibration.thresholds.estimate import threshold_from_scores
from vipx.errors import UsageError


def unit(vectors: ndarray) -> ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def pictures(images: int, seed: int = 0) -> ndarray:
    drawn = np.random.default_rng(seed).normal(scale=0.05, size=(images, 32))
    return unit(drawn + np.eye(32)[0])


def test_pictures_that_differ_are_each_their_own() -> None:
    found = near_duplicates(pictures(700))
    assert found.effective == 700
    assert np.array_equal(found.group, np.arange(700))
    assert found.members() == ()
    assert found.warning() is None


def test_repeated_pictures_are_one_group_wherever_they_stand() -> None:
    features = pictures(600)
    noise = np.random.default_rng(1).normal(scale=1e-3, size=(600, 32))
    features[[7, 300, 599]] = unit(features[7] + noise[:3])
    found = near_duplicates(features)
    assert found.effective == 598
    assert found.members() == ((7, 300, 599),)
    assert "600 images are 598 different pictures" in (found.warning() or "")


def test_groups_are_chains() -> None:
    angles = np.array([0.0, 0.04, 0.08, 1.0])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert np.array_equal(near_duplicates(features, 0.999).group, [0, 0, 0, 1])


@given(st.permutations(range(12)))
@settings(max_examples=20)
def test_the_order_of_pictures_does_not_change_who_belongs_together(order: list[int]) -> None:
    features = pictures(12)
    features[5], features[9] = features[2], features[2]
    found = near_duplicates(features[order])
    assert found.effective == 10
    assert {order[index] for index in found.members()[0]} == {2, 5, 9}


def test_a_group_counts_once_by_its_highest_score() -> None:
    groups = Groups(np.array([0, 1, 0, 2]), 0.999)
    found = highest_of(np.array([0.1, 0.5, 0.3, 0.2]), groups)
    assert np.array_equal(found, [0.3, 0.5, 0.2])
    assert groups.first == (0, 1, 3)


def test_repeating_pictures_supports_no_smaller_rate() -> None:
    features, scores = pictures(30), np.random.default_rng(2).random(30)
    groups = near_duplicates(np.repeat(features, 3, axis=0))
    thinned = highest_of(np.repeat(scores, 3), groups)
    once = threshold_from_scores(scores, rate=0.15)
    assert threshold_from_scores(thinned, rate=0.15) == once
    flattered = threshold_from_scores(np.repeat(scores, 3), rate=0.15)
    assert flattered.value < once.value  # what near-duplicates would do if they counted


@pytest.mark.parametrize("skewed", [False, True])
def test_good_images_alone_are_hardly_ever_outliers(skewed: bool) -> None:
    generator = np.random.default_rng(4)
    draw = generator.exponential if skewed else generator.normal
    suspected = sum(bool(outliers(draw(size=40))) for _ in range(200))
    assert suspected <= 16


def test_a_defect_among_the_good_is_pointed_out_by_score_or_by_look() -> None:
    generator = np.random.default_rng(5)
    scores, features = generator.normal(0.2, 0.02, 40), pictures(40)
    scores[13] = 0.6
    features[31] = unit(features[31:32] + 2 * np.eye(32)[1])[0]
    found = outliers(scores, features)
    assert {one.index for one in found} == {13, 31}
    by_index = {one.index: one for one in found}
    assert by_index[13].score > OUTLIER > by_index[13].feature
    assert by_index[31].feature > OUTLIER > by_index[31].score


def test_deviations_are_those_of_a_normal_distribution_and_low_scores_are_none() -> None:
    numbers = np.random.default_rng(6).normal(5, 2, 100_001)
    found = deviations_above(numbers)
    assert found[numbers < np.median(numbers)].max() == 0
    assert found.max() == pytest.approx((numbers.max() - 5) / 2, rel=0.02)


def test_equal_numbers_deviate_not_at_all_and_one_among_them_does() -> None:
    assert deviations_above(np.full(40, 0.3)).max() == 0
    assert deviations_above(np.zeros(40)).max() == 0
    one = deviations_above(np.append(np.zeros(39), 0.1))
    assert one[-1] > OUTLIER
    many = deviations_above(np.append(np.zeros(30), np.full(10, 0.1)))
    assert many.max() < OUTLIER


def test_distance_is_from_the_others_alone() -> None:
    features = pictures(10)
    others = np.delete(features, 4, axis=0).mean(axis=0)
    wanted = 1 - features[4] @ others / np.linalg.norm(others)
    assert distances(features)[4] == pytest.approx(wanted, abs=1e-6)


def test_features_must_have_unit_length() -> None:
    for features in (2 * pictures(5), np.zeros((0, 4), np.float32)):
        with pytest.raises(UsageError, match="unit length"):
            near_duplicates(features)
