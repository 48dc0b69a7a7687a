"""A timing ends when both time and count are reached, or says what was cut short."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.bench.fakes import FakeClock
from vipx.errors import UsageError
from vipx.runtime.bench.protocol import FEWEST, Limits, repeat
from vipx.runtime.bench.summary import noise, summary

LIMITS = Limits(
    seconds=3.0, iterations=100, most_seconds=20.0, warm_up_seconds=0.2, warm_up_runs=10
)


def taking(clock: FakeClock, *milliseconds: float) -> Callable[[int], tuple[float, ...]]:
    calls: list[int] = []

    def once(number: int) -> tuple[float, ...]:
        spent = milliseconds[min(len(calls), len(milliseconds) - 1)]
        calls.append(number)
        clock.now += spent / 1000
        return (0.75 * spent, 0.25 * spent)

    return once


def test_a_fast_subject_is_timed_for_the_whole_time() -> None:
    clock = FakeClock()
    series = repeat(taking(clock, 10.0), LIMITS, clock)
    assert series.warm_up_runs == 20  # 200 ms, not just ten runs
    assert len(series.rows) == pytest.approx(300, abs=1)
    assert series.notes == ()
    assert series.rows[0] == pytest.approx([7.5, 2.5, 10.0])


def test_a_slower_one_has_all_its_iterations() -> None:
    clock = FakeClock()
    series = repeat(taking(clock, 100.0), LIMITS, clock)
    assert (series.warm_up_runs, len(series.rows)) == (10, 100)
    assert series.seconds == pytest.approx(10.0)


def test_a_machine_that_is_too_slow_is_told_so() -> None:
    clock = FakeClock()
    series = repeat(taking(clock, 2000.0), LIMITS, clock)
    assert series.warm_up_runs == 3  # a quarter of the most time
    assert len(series.rows) == 10
    assert "3 of 10" in series.notes[0]
    assert "10 of 100" in series.notes[1]


def test_even_the_slowest_gives_a_few_iterations() -> None:
    clock = FakeClock()
    assert len(repeat(taking(clock, 60_000.0), LIMITS, clock).rows) == FEWEST


def test_the_first_run_is_not_counted_but_kept() -> None:
    clock = FakeClock()
    series = repeat(taking(clock, 5000.0, 50.0), LIMITS, clock)
    assert series.first == pytest.approx(5000.0)
    assert series.rows.max() == pytest.approx(50.0)


@pytest.mark.parametrize(
    "wrong", [{"iterations": 1}, {"seconds": -1.0}, {"most_seconds": 2.0}, {"warm_up_runs": 0}]
)
def test_limits_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Limits(**wrong)  # type: ignore[arg-type]


@given(st.lists(st.floats(0.01, 1e4), min_size=3, max_size=50))
def test_percentiles_are_ordered_and_within_the_range(values: list[float]) -> None:
    found = summary(np.array(values))
    ordered = [found.min, found.p50, found.p90, found.p95, found.p99, found.max]
    assert ordered == sorted(ordered)
    assert found.min <= found.mean * (1 + 1e-12)
    assert found.mean <= found.max * (1 + 1e-12)


def test_a_constant_time_does_not_vary() -> None:
    assert summary(np.full(9, 3.0)).cv == 0.0
    assert noise(np.full(9, 3.0), 0.05, 0.0, 2) == ()


def test_each_kind_of_noise_is_named() -> None:
    quiet = np.full(100, 10.0)
    spread = quiet + np.tile([0.0, 4.0], 50)
    drift = np.repeat([10.0, 10.4], 50)
    assert "vary" in noise(spread, 0.05, 0.0, 2)[0]
    assert "moved by +4.0%" in noise(drift, 0.05, 0.0, 2)[0]
    assert "programs" in noise(quiet, 0.05, 1.9, 2)[0]
    assert noise(quiet, 0.05, None, 2) == ()
