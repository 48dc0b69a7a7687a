"""What a number of images proves about a quantile, counted by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipx.calibration.thresholds.order import (
    images_needed,
    just_above,
    ranks_of,
    smallest_rate,
    sorted_scores,
)
from vipx.errors import UsageError

RATES = st.floats(1e-4, 0.5)
CONFIDENCES = st.floats(0.5, 0.999)


def at_most(count: int, draws: int, probability: float) -> float:
    """Sum the binomial distribution as its definition says."""
    return math.fsum(
        math.comb(draws, i) * probability**i * (1 - probability) ** (draws - i)
        for i in range(count + 1)
    )


@pytest.mark.parametrize(
    ("rate", "confidence", "images"),
    [(0.05, 0.95, 59), (0.01, 0.95, 299), (0.001, 0.95, 2995), (0.1, 0.9, 22), (0.5, 0.5, 1)],
)
def test_the_number_of_images_is_that_of_wilks(rate: float, confidence: float, images: int) -> None:
    assert images_needed(rate, confidence) == images


@given(st.integers(1, 5000), CONFIDENCES)
def test_the_smallest_rate_needs_just_these_images(images: int, confidence: float) -> None:
    rate = smallest_rate(images, confidence)
    if rate <= 0.5:
        assert images_needed(rate, confidence) == images
        assert images_needed(rate * 0.999, confidence) > images or images == 1


@given(st.integers(1, 120), st.floats(0.005, 0.5), CONFIDENCES)
def test_ranks_are_the_narrowest_that_hold(images: int, rate: float, confidence: float) -> None:
    ranks = ranks_of(images, rate, confidence)
    below = 1 - rate
    if ranks is None:
        assert at_most(images - 1, images, below) < confidence + 1e-9
        return
    assert 1 <= ranks.lower <= ranks.upper <= images
    assert at_most(ranks.upper - 1, images, below) >= confidence - 1e-9
    assert at_most(ranks.upper - 2, images, below) < confidence + 1e-9
    assert 1 - at_most(ranks.lower - 1, images, below) >= confidence - 1e-9
    assert 1 - at_most(ranks.lower, images, below) < confidence + 1e-9


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_just_above_lets_the_score_itself_pass_and_nothing_else(score: float) -> None:
    assert just_above(score) > score
    assert np.nextafter(just_above(score), -np.inf) == score


def test_scores_that_are_no_numbers_are_refused() -> None:
    for scores in ([], [0.1, math.nan], [0.1, math.inf]):
        with pytest.raises(UsageError, match="scores"):
            sorted_scores(np.array(scores, dtype=np.float64))


@pytest.mark.parametrize("rate", [0.0, -0.1, 0.51, math.nan])
def test_rates_that_mean_nothing_are_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="rate"):
        images_needed(rate, 0.95)


@pytest.mark.parametrize("confidence", [0.0, 0.49, 1.0, math.nan])
def test_confidences_that_mean_nothing_are_refused(confidence: float) -> None:
    with pytest.raises(UsageError, match="confidence"):
        smallest_rate(40, confidence)
