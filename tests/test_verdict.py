"""Nothing is OK by default."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipx.errors import UsageError
from vipx.verdict import Verdict, check_threshold, decide

unit = st.floats(0, 1)


@given(unit)
def test_without_a_threshold_nothing_is_ok_or_ng(score: float) -> None:
    decision = decide(score, None)
    assert decision.verdict is Verdict.REVIEW
    assert "no threshold" in decision.reason


@given(unit, st.floats(0, 1, exclude_min=True))
def test_scores_from_the_threshold_on_are_ng(score: float, threshold: float) -> None:
    expected = Verdict.NG if score >= threshold else Verdict.OK
    assert decide(score, threshold).verdict is expected


@given(unit, unit, st.floats(0, 1, exclude_min=True))
def test_a_higher_score_is_never_better(low: float, high: float, threshold: float) -> None:
    low, high = sorted((low, high))
    assert not (
        decide(low, threshold).verdict is Verdict.NG
        and decide(high, threshold).verdict is Verdict.OK
    )


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, -0.1, 1.1])
@pytest.mark.parametrize("threshold", [None, 0.5])
def test_a_score_that_is_none_is_an_error(score: float, threshold: float | None) -> None:
    assert decide(score, threshold).verdict is Verdict.ERROR


@pytest.mark.parametrize("threshold", [math.nan, math.inf, 0.0, -1.0, 1.5])
def test_a_threshold_that_cannot_judge_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError):
        check_threshold(threshold)
