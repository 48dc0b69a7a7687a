"""The server believes no OK that contradicts itself, and a map that cannot be right is a flaw."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipx.runtime.engines.engine import EngineRun, StageTimes
from vipx.runtime.server.work.channel.messages import Answer
from vipx.runtime.server.work.child.judging import flaw
from vipx.runtime.server.work.outcomes import outcome_from_answer, outcome_of_loss
from vipx.verdict import Verdict

ENGINE = ("an engine", "0" * 64)
GOOD = Answer(
    number=1, verdict="OK", reason="below", score=0.2, threshold=0.6, review=0.5, preprocess_us=300
)
NUMBERS = st.one_of(st.none(), st.floats())


@given(
    verdict=st.sampled_from(["OK", "NG", "REVIEW", "ERROR", "ok", ""]),
    score=NUMBERS,
    threshold=NUMBERS,
    review=NUMBERS,
    fault=st.sampled_from([None, "hot"]),
)
def test_ok_needs_a_score_in_range_below_every_limit_and_no_fault(
    verdict: str,
    score: float | None,
    threshold: float | None,
    review: float | None,
    fault: str | None,
) -> None:
    answer = replace(
        GOOD, verdict=verdict, score=score, threshold=threshold, review=review, fault=fault
    )
    outcome = outcome_from_answer(answer, None, 0, ENGINE)
    if outcome.verdict is Verdict.OK:
        assert verdict == "OK"
        assert fault is None
        assert score is not None
        assert 0 <= score <= 1
        assert all(limit is None or score < limit for limit in (threshold, review))
    if outcome.verdict is Verdict.ERROR:
        assert outcome.score is None
    else:
        assert outcome.verdict.value == verdict


def test_a_good_answer_is_handed_on_whole() -> None:
    answer = replace(GOOD, regions=[[1, 2, 3, 4, 5, 0.5]], height=7, width=8, infer_us=9)
    outcome = outcome_from_answer(answer, np.ones((2, 3), np.float32), 1000, ENGINE)
    assert (outcome.verdict, outcome.score, outcome.size) == (Verdict.OK, 0.2, (7, 8))
    assert outcome.microseconds == {"queue": 700, "preprocess": 300, "infer": 9, "postprocess": 0}
    assert outcome.regions[0].peak == 0.5
    assert outcome.anomaly_map is not None


def test_what_the_engine_died_on_is_an_error() -> None:
    outcome = outcome_of_loss("killed", 5, ENGINE)
    assert outcome.verdict is Verdict.ERROR
    assert "killed" in outcome.reason


def run_of(**changes: object) -> EngineRun:
    arrays: dict[str, object] = {
        "score": np.full(2, 0.5, np.float32),
        "anomaly_map": np.zeros((2, 4, 6), np.float32),
        "patch_map": np.zeros((2, 2, 3), np.float32),
    }
    held = {name: array for name, array in (arrays | changes).items() if array is not None}
    return EngineRun(held, StageTimes())  # type: ignore[arg-type]


def test_a_run_as_expected_has_no_flaw() -> None:
    assert flaw(run_of(), 2, (4, 6)) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"score": None}, "left out"),
        ({"patch_map": None}, "left out"),
        ({"score": np.full(3, 0.5)}, "score of"),
        ({"score": np.full((2, 1), 0.5)}, "score of"),
        ({"anomaly_map": np.zeros((2, 6, 4))}, "map of"),
        ({"score": np.array([0.5, np.nan])}, "not finite"),
        ({"anomaly_map": np.full((2, 4, 6), np.inf)}, "not finite"),
        ({"patch_map": np.full((2, 2, 3), np.nan)}, "not finite"),
        ({"score": np.array([0.5, 1.01])}, "not in"),
        ({"score": np.array([-0.01, 0.5])}, "not in"),
    ],
)
def test_every_flaw_is_told(changes: dict[str, object], told: str) -> None:
    found = flaw(run_of(**changes), 2, (4, 6))
    assert found is not None
    assert told in found
