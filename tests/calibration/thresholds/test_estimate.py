"""Thresholds say what they promise, and no less when scores are moved, mixed or repeated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy import ndarray
from scipy import stats

from vipx.calibration.thresholds.estimate import (
    Threshold,
    false_alarm_interval,
    threshold_from_scores,
)
from vipx.errors import GateError, UsageError

ANY = arrays(np.float64, st.integers(60, 90), elements=st.floats(-1e6, 1e6, width=32))


def normal(images: int, seed: int = 0) -> ndarray:
    return np.random.default_rng(seed).normal(size=images)


@given(ANY)
@settings(max_examples=40)
def test_review_comes_before_ng_and_both_lie_just_above_scores(scores: ndarray) -> None:
    found = threshold_from_scores(scores, rate=0.05)
    assert found.kind == "order"
    assert found.review <= found.value
    assert found.interval.lower < found.review
    assert found.interval.upper < found.value
    assert found.interval.lower in scores
    assert (scores >= found.value).sum() <= 0.05 * scores.size


@given(ANY, st.integers(0, 59), st.floats(0, 10, width=32))
@settings(max_examples=40)
def test_threshold_never_falls_when_scores_rise(scores: ndarray, index: int, more: float) -> None:
    before = threshold_from_scores(scores, rate=0.05)
    raised = scores.copy()
    raised[index] += more
    after = threshold_from_scores(raised, rate=0.05)
    assert after.value >= before.value
    assert after.review >= before.review


@pytest.mark.parametrize("rate", [0.05, 0.004])
def test_order_of_scores_does_not_matter_and_their_unit_moves_with_them(rate: float) -> None:
    scores = normal(100)
    found = threshold_from_scores(scores, rate=rate)
    assert threshold_from_scores(scores[::-1].copy(), rate=rate) == found
    moved = threshold_from_scores(1e-4 * scores + 7, rate=rate)
    assert moved.value == pytest.approx(1e-4 * found.value + 7, abs=1e-10)
    assert moved.review == pytest.approx(1e-4 * found.review + 7, abs=1e-10)


def test_by_itself_it_takes_what_the_images_prove_and_says_when_it_fits() -> None:
    proved = threshold_from_scores(normal(59), rate=0.05)
    assert (proved.kind, proved.fit, proved.warnings) == ("order", None, ())
    assert proved.value == np.nextafter(normal(59).max(), np.inf)
    fitted = threshold_from_scores(normal(58), rate=0.05)
    assert fitted.kind == "tail"
    assert fitted.fit is not None
    assert fitted.fit.exceedances == 20
    assert fitted.interval.upper == fitted.value
    assert fitted.interval.lower == fitted.review
    assert "rests on a tail fitted" in fitted.warnings[0]
    assert "59 images would need no fit" in fitted.warnings[0]


def test_confidences_of_the_ends_and_of_both_are_told_apart() -> None:
    found = threshold_from_scores(normal(100), rate=0.05, confidence=0.9)
    assert found.confidence == 0.9
    assert found.interval.confidence == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("images", "rate", "kind", "told"),
    [
        (20, 0.1, None, ("20 good images", "take 29 or more (40 for a fitted tail)", "0.139")),
        (39, 0.05, None, ("take 59 or more (40 for a fitted tail)",)),
        (200, 0.0009, None, ("take 3328 or more (223 for a fitted tail)", "from 0.001 on")),
        (58, 0.05, "order", ("take 59 or more, or",)),
        (199, 0.001, "tail", ("(200 for a fitted tail)",)),
        (1, 0.01, None, ("1 good images", "299")),
    ],
)
def test_a_rate_without_support_is_refused_with_the_number_of_images(
    images: int, rate: float, kind: str | None, told: tuple[str, ...]
) -> None:
    with pytest.raises(GateError) as caught:
        threshold_from_scores(normal(images), rate=rate, kind=kind)  # type: ignore[arg-type]
    assert caught.value.exit_code == 6
    assert all(part in str(caught.value) for part in told), str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_tail_of_few_different_scores_is_refused() -> None:
    scores = np.round(normal(200), 1)
    with pytest.raises(GateError, match=r"only \d+ different scores"):
        threshold_from_scores(np.maximum(scores, 0.9), rate=0.001)
    with pytest.raises(GateError, match="cannot be fitted"):
        threshold_from_scores(np.ones(200), rate=0.001)


def test_a_tail_is_not_asked_about_the_middle() -> None:
    with pytest.raises(GateError, match="order statistics"):
        threshold_from_scores(normal(200), rate=0.2, kind="tail")


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="rate"):
        threshold_from_scores(normal(50), rate=0.0)
    with pytest.raises(UsageError, match="confidence"):
        threshold_from_scores(normal(50), rate=0.1, confidence=1.0)
    with pytest.raises(UsageError, match="finite"):
        threshold_from_scores(np.array([0.1, np.nan] * 40), rate=0.1)


def test_equal_scores_pass_and_are_told() -> None:
    found = threshold_from_scores(np.full(60, 0.25), rate=0.05)
    assert found.value == found.review == np.nextafter(0.25, 1)
    assert "only 1 of 60 scores differ" in found.warnings[0]


def test_two_kinds_of_parts_are_told() -> None:
    generator = np.random.default_rng(1)
    scores = np.concatenate([generator.normal(0, 1, 180), generator.normal(9, 0.2, 20)])
    told = threshold_from_scores(scores, rate=0.002).warnings
    assert any("does not fit" in line for line in told)


def test_a_threshold_that_no_probability_reaches_is_told() -> None:
    scores = np.random.default_rng(2).beta(2, 1.2, 60)
    found = threshold_from_scores(scores, rate=0.01)
    assert found.value > 1
    assert any("no part is ever NG" in line for line in found.warnings)


def test_one_good_image_far_off_is_told_as_a_heavy_tail() -> None:
    scores = np.append(np.random.default_rng(3).pareto(1.1, 199), 1e4)
    told = threshold_from_scores(scores, rate=0.002).warnings
    assert any("heavy" in line for line in told)


def true_rate(found: Threshold) -> float:
    """The scores are uniform."""
    return max(0.0, 1 - found.value)


@pytest.mark.parametrize("rate", [0.06, 0.2])
def test_the_false_alarm_interval_holds_as_often_as_it_says(rate: float) -> None:
    generator = np.random.default_rng(4)
    above = below = 0
    for _ in range(100):
        scores = generator.random(50)
        found = threshold_from_scores(scores, rate=rate)
        ends = false_alarm_interval(scores, found)
        assert ends.upper <= rate + 1e-12
        above += true_rate(found) > ends.upper
        below += true_rate(found) < ends.lower
    assert above + below > 0
    assert above <= 14  # 5 expected; more with probability below 1e-3
    assert below <= 14


def test_the_false_alarm_interval_of_a_tail_ends_at_the_rate() -> None:
    scores = normal(200)
    found = threshold_from_scores(scores, rate=0.005)
    ends = false_alarm_interval(scores, found)
    assert ends.upper == found.rate
    assert 0 <= ends.lower < 1e-4
    sure = threshold_from_scores(scores, rate=0.005, confidence=0.55)
    narrow = false_alarm_interval(scores, sure)
    assert ends.lower < narrow.lower < narrow.upper


@pytest.mark.parametrize("parts", [3, 20])
def test_scores_in_steps_keep_the_rate_too(parts: int) -> None:
    generator = np.random.default_rng(5)
    kept = 0
    for _ in range(100):
        scores = generator.binomial(parts, 0.3, 60).astype(np.float64)
        found = threshold_from_scores(scores, rate=0.05)
        kept += stats.binom(parts, 0.3).sf(found.value) <= 0.05
    assert kept >= 86  # 95 promised at least; fewer with probability below 1e-3
