"""Several numbers together: limits keep their joint rate however the numbers depend on one another."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy import ndarray

from vipx.calibration.thresholds.blocks import (
    blocks_beyond,
    blocks_within,
    cut,
    images_needed_for,
    rate_interval,
    smallest_rate_of,
)
from vipx.calibration.thresholds.order import images_needed, ranks_of, smallest_rate
from vipx.errors import UsageError

COLUMNS = arrays(
    np.float64, st.tuples(st.integers(4, 20), st.just(2)), elements=st.integers(0, 6).map(float)
)


@pytest.mark.parametrize("images", [20, 59, 120, 300])
@pytest.mark.parametrize("rate", [0.05, 0.16, 0.3])
def test_one_number_has_the_ranks_of_order_statistics(images: int, rate: float) -> None:
    ranks = ranks_of(images, rate, 0.95)
    steps = (blocks_within(images, rate, 0.95), blocks_beyond(images, rate, 0.95))
    if ranks is None:
        assert steps[0] == 0
    else:
        assert steps == (images - ranks.upper + 1, images - ranks.lower + 1)


def test_one_number_needs_as_many_images_as_order_statistics() -> None:
    for rate in (0.3, 0.05, 0.001):
        assert images_needed_for(rate, 1, 0.95) == images_needed(rate, 0.95)
    assert smallest_rate_of(40, 1, 0.95) == pytest.approx(smallest_rate(40, 0.95), rel=1e-12)


def test_two_numbers_prove_less_than_one_and_more_than_two_halves() -> None:
    both = smallest_rate_of(40, 2, 0.95)
    assert smallest_rate(40, 0.95) < both < 2 * smallest_rate(40, 0.95)
    assert both == pytest.approx(0.1132, abs=1e-4)
    assert blocks_within(40, both, 0.95, 2) == 2
    assert blocks_within(40, both * 0.999, 0.95, 2) == 0
    assert images_needed_for(0.05, 2, 0.95) == 93
    assert smallest_rate_of(1, 2, 0.95) == 1


def test_a_picture_is_taken_once_though_it_has_the_most_of_both() -> None:
    columns = np.array([[9.0, 9.0], [1.0, 8.0], [5.0, 2.0], [4.0, 1.0]])
    assert cut(columns, 2).tolist() == [9, 8]
    assert cut(columns, 3).tolist() == [5, 8]


@given(COLUMNS, st.data())
@settings(max_examples=60)
def test_no_more_pictures_lie_beyond_than_were_taken(columns: ndarray, data: st.DataObject) -> None:
    blocks = data.draw(st.integers(2, len(columns)))
    beyond = (columns > cut(columns, blocks)).any(axis=1)
    assert beyond.sum() < blocks  # the last one taken lies on its limit
    more = data.draw(st.integers(blocks, len(columns)))
    assert (cut(columns, more) <= cut(columns, blocks)).all()


@pytest.mark.parametrize("correlation", [-1.0, 0.0, 0.7, 1.0])
def test_the_joint_rate_has_the_same_distribution_for_any_dependence(correlation: float) -> None:
    generator = np.random.default_rng(1)
    mixing = np.array([[1, correlation], [0, np.sqrt(1 - correlation**2)]])
    lines = generator.normal(size=(20_000, 2)) @ mixing
    rates = []
    for _ in range(400):
        drawn = generator.normal(size=(40, 2)) @ mixing
        rates.append((lines > cut(drawn, 2)).any(axis=1).mean())
    for share in (0.5, 0.95):
        end = rate_interval(2, 40, share).upper
        assert abs((np.array(rates) <= end).mean() - share) < 4.5 * np.sqrt(
            share * (1 - share) / 400
        )


def test_steps_that_cannot_be_taken_are_refused() -> None:
    for blocks in (1, 5):
        with pytest.raises(UsageError, match="blocks"):
            cut(np.zeros((4, 2)), blocks)
    with pytest.raises(UsageError):
        blocks_within(40, 0.7, 0.95)
    with pytest.raises(UsageError):
        smallest_rate_of(40, 2, 1.0)
