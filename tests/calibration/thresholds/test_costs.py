"""With known defects: the cheapest threshold is the cheapest of all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy import ndarray

from vipx.calibration.thresholds.costs import Costs, cheapest_threshold
from vipx.errors import UsageError

SCORES = arrays(np.float64, st.integers(1, 15), elements=st.floats(0, 1, width=16))
COSTS = st.builds(Costs, st.floats(0.1, 100), st.floats(0.01, 0.9), st.floats(0.1, 10))


def cost(good: ndarray, defects: ndarray, costs: Costs, threshold: float) -> float:
    alarms, missed = (good >= threshold).mean(), (defects < threshold).mean()
    return float(
        (1 - costs.prevalence) * costs.false_alarm * alarms + costs.prevalence * costs.miss * missed
    )


@given(SCORES, SCORES, COSTS)
@settings(max_examples=80)
def test_no_threshold_is_cheaper(good: ndarray, defects: ndarray, costs: Costs) -> None:
    found = cheapest_threshold(good, defects, costs)
    every = [*good, *defects, *np.nextafter([*good, *defects], np.inf)]
    least = min(cost(good, defects, costs, threshold) for threshold in every)
    assert cost(good, defects, costs, found) == pytest.approx(least, rel=1e-9, abs=1e-12)


def test_scores_that_separate_are_parted_in_the_middle() -> None:
    good, defects = np.array([0.1, 0.2, 0.3]), np.array([0.7, 0.9])
    assert cheapest_threshold(good, defects, Costs(10.0, 0.01)) == pytest.approx(0.5)


def test_dearer_misses_lower_the_threshold() -> None:
    generator = np.random.default_rng(0)
    good, defects = generator.normal(0, 1, 300), generator.normal(2, 1, 300)
    found = [
        cheapest_threshold(good, defects, Costs(miss, 0.1)) for miss in (0.1, 1.0, 10.0, 100.0)
    ]
    assert np.all(np.diff(found) <= 0)
    assert found[0] > found[-1]


@pytest.mark.parametrize(
    "options", [{"miss": 0.0}, {"false_alarm": -1.0}, {"prevalence": 1.0}, {"miss": np.inf}]
)
def test_costs_that_mean_nothing_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Costs(**{"miss": 1.0, "prevalence": 0.5} | options)


def test_scores_of_one_kind_alone_are_refused() -> None:
    for good, defects in (([], [0.1]), ([0.1], [])):
        with pytest.raises(UsageError, match="scores"):
            cheapest_threshold(np.array(good, float), np.array(defects, float), Costs(1.0, 0.5))
