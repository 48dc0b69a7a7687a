"""From what was seen to shifts, divisors and limits; the same for PyTorch's layers and an engine's tensors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from vipx.errors import GateError
from vipx.ranges import (
    BINS,
    MARGIN,
    Extremes,
    Histogram,
    Rule,
    limit_of,
    smoothing_from_extremes,
    smoothing_of,
    spread,
)

properties = settings(max_examples=50, deadline=None, derandomize=True)
RULES: tuple[Rule, ...] = ("max", "percentile", "mse")
numbers = st.floats(-(2.0**100), 2.0**100, width=32)
batches = st.lists(st.lists(numbers, min_size=1, max_size=20), min_size=1, max_size=5)


def histogram_of(*batches: ndarray) -> Histogram:
    made = Histogram()
    for batch in batches:
        made.add(batch)
    return made


@properties
@given(
    values=st.lists(st.floats(0, 1e4, width=32), min_size=1, max_size=40),
    alpha=st.floats(0, 1),
)
def test_divisors_are_positive_with_geometric_mean_one(values: list[float], alpha: float) -> None:
    inputs = np.array(values, np.float32)
    weights = np.linspace(0.1, 3, len(values), dtype=np.float32)
    divisors = smoothing_of(inputs, weights, alpha)
    assert (divisors > 0).all()
    assert (divisors[inputs == 0] == 1).all()
    np.testing.assert_allclose(np.log(divisors[inputs > 0]).sum(), 0, atol=1e-3)


def test_alpha_one_makes_all_channels_equal() -> None:
    inputs = np.array([1, 50, 7], np.float32)
    divided = inputs / smoothing_of(inputs, np.ones(3, np.float32), 1.0)
    np.testing.assert_allclose(divided, divided[0], rtol=1e-6)


@pytest.mark.parametrize("part", ["attention", "output", "up", "down"])
def test_only_what_a_norm_gives_is_shifted_and_the_output_smoothed_by_half_at_most(
    part: str,
) -> None:
    rows = np.array([[1, -8, 3], [5, 0, 3]], np.float32)
    extremes, weights = Extremes.of(rows), np.array([1, 2, 4], np.float32)
    made = smoothing_from_extremes(part, extremes, weights, 0.8)
    if part in ("attention", "up"):
        assert made.shift is not None
        np.testing.assert_array_equal(made.shift, [3, -4, 3])
        np.testing.assert_allclose(made(rows) * made.divisors, [[-2, -4, 0], [2, 4, 0]], rtol=1e-6)
    else:
        assert made.shift is None
        alpha = 0.5 if part == "output" else 0.8
        expected = smoothing_of(np.array([5, 8, 3], np.float32), weights, alpha)
        np.testing.assert_array_equal(made.divisors, expected)
        np.testing.assert_array_equal(made(rows), rows / expected)


def test_extremes_widen_channel_by_channel() -> None:
    extremes = Extremes.of(np.array([[1, 2], [3, -4]], np.float32))
    extremes.widen(Extremes.of(np.array([[2, 7]], np.float32)))
    np.testing.assert_array_equal(extremes.low, [1, -4])
    np.testing.assert_array_equal(extremes.high, [3, 7])


@properties
@given(batches=batches)
def test_a_histogram_never_loses_a_count(batches: list[list[float]]) -> None:
    arrays = [np.array(batch, np.float32) for batch in batches]
    made = histogram_of(*arrays)
    values = np.abs(np.concatenate(arrays))
    assert made.counts.sum() == len(values)
    assert made.largest == values.max() <= made.top or made.top == 0.0 == values.max()


@properties
@given(batches=batches)
def test_every_count_stays_in_its_bin_when_the_top_doubles(batches: list[list[float]]) -> None:
    made = histogram_of(*(np.array(batch, np.float32) for batch in batches))
    values = np.abs(np.concatenate([np.array(batch, np.float32) for batch in batches]))
    if made.top == 0.0:
        return
    places = np.minimum((values.astype(np.float64) / made.top * BINS).astype(int), BINS - 1)
    expected = np.bincount(places, minlength=BINS)
    # Rounding may put a value that lies on an edge into the bin beside it.
    apart = np.abs(np.cumsum(made.counts) - np.cumsum(expected))
    edges = (np.arange(BINS) + 1) / BINS * made.top
    near = (np.abs(values[:, None] - edges) <= 1e-6 * edges).sum(axis=0)
    assert (apart <= near).all()


@properties
@given(seed=st.integers(0, 2**16), parts=st.integers(1, 6))
def test_a_histogram_does_not_depend_on_how_values_arrive(seed: int, parts: int) -> None:
    generator = np.random.default_rng(seed)
    values = (generator.standard_normal(600) * np.linspace(0.1, 9, 600)).astype(np.float32)
    split, whole = histogram_of(*np.array_split(values, parts)), histogram_of(values)
    for rule, bound in zip(RULES, (0.0, 0.02, 0.05), strict=True):
        limits = [limit_of(one, rule) for one in (split, whole)]
        assert abs(limits[0] - limits[1]) <= bound * limits[1]


def test_more_values_than_are_counted_at_once_are_all_counted() -> None:
    values = np.random.default_rng(0).standard_normal((3, 2**17)).astype(np.float32)
    made = histogram_of(values)
    expected, _ = np.histogram(np.abs(values), BINS, (0, made.top))
    assert np.abs(made.counts - expected).sum() <= 1e-4 * values.size
    assert made.counts.sum() == values.size


@properties
@given(batches=batches)
def test_limits_lie_between_nothing_and_the_largest_with_its_margin(
    batches: list[list[float]],
) -> None:
    made = histogram_of(*(np.array(batch, np.float32) for batch in batches))
    if made.largest == 0.0:
        return
    limits = {rule: limit_of(made, rule) for rule in RULES}
    assert all(0 < limit <= MARGIN * made.largest for limit in limits.values())
    assert limits["percentile"] <= made.largest
    assert limits["percentile"] <= limits["max"]


def test_limits_clip_as_their_rule_says() -> None:
    values = np.append(np.linspace(0, 1, 99_999), 1000).astype(np.float32)
    histogram = histogram_of(values)
    assert limit_of(histogram, "max") == pytest.approx(1100)
    assert limit_of(histogram, "percentile") < 2
    # One value of a hundred thousand that lies a thousand times out weighs more than all the others' rounding.
    assert 900 < limit_of(histogram, "mse") <= 1000


@pytest.mark.parametrize("rule", RULES)
def test_an_input_that_is_always_zero_has_no_range(rule: Rule) -> None:
    with pytest.raises(GateError, match="zero"):
        limit_of(histogram_of(np.zeros(5, np.float32)), rule)


@given(count=st.integers(1, 300), most=st.integers(1, 80))
def test_pictures_are_spread_evenly_and_none_is_taken_twice(count: int, most: int) -> None:
    taken = spread(range(count), most)
    assert len(taken) == min(count, most) == len(set(taken))
    gaps = np.diff([*taken, count])
    assert gaps.max() - gaps.min() <= 1
