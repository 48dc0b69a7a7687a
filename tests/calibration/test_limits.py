"""Limits keep the rate that was asked for, say what they rest on, and refuse what they cannot keep."""

import numpy as np
import pytest

from tests.calibration.test_collection import measured
from vipx.calibration.collection.goodset import examined
from vipx.calibration.collection.measurement import Measurement
from vipx.calibration.collection.pictures import Pictures
from vipx.calibration.limits import (
    Wish,
    joint_false_alarms,
    logits_of,
    plan_of,
    probability_of,
    rate_warning,
    thresholds_from_pictures,
)
from vipx.calibration.thresholds.estimate import threshold_from_scores
from vipx.errors import GateError
from vipx.recipe import ThresholdsRecord


def parts(count: int, seed: int = 0) -> list[Measurement]:
    generator = np.random.default_rng(seed)
    numbers = probability(generator.normal(-2, 0.5, (count, 2)))
    return [
        measured(float(score), number, level=float(level))
        for number, (score, level) in enumerate(numbers)
    ]


def probability(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def chosen(good: list[Measurement], wish: Wish = Wish()) -> ThresholdsRecord:  # noqa: B008 - frozen
    pictures = Pictures.of_good(good, examined(good).groups)
    return thresholds_from_pictures(pictures, plan_of(pictures.count, wish))


def test_two_numbers_keep_the_rate_together() -> None:
    good = parts(200)
    both = chosen(good, Wish(rate=0.1))
    assert both.score is not None
    assert both.level is not None
    assert both.score.kind == both.level.kind == "order"
    assert both.score.rate == both.level.rate == 0.1
    alone = chosen(good, Wish(rate=0.1, criteria="score"))
    assert alone.level is None
    assert alone.score is not None
    assert alone.score.ng <= both.score.ng
    assert 0 < joint_false_alarms(both)[0] < joint_false_alarms(both)[1] <= 0.1
    assert both.score.false_alarms[1] <= 0.1


def test_one_number_has_the_limits_of_its_order_statistics() -> None:
    good = parts(150)
    limit = chosen(good, Wish(rate=0.1, criteria="score")).score
    scores = np.array([one.score for one in good])
    found = threshold_from_scores(scores, rate=0.1)
    assert limit is not None
    assert (limit.ng, limit.review) == (found.value, found.review)
    assert limit.interval == (found.interval.lower, found.interval.upper)


def test_the_true_rate_by_both_stays_below_the_one_asked_for() -> None:
    scores, levels = probability(np.random.default_rng(99).normal(-2, 0.5, (2, 20_000)))
    kept = 0
    for seed in range(1, 61):
        thresholds = chosen(parts(120, seed), Wish(rate=0.1))
        assert thresholds.score is not None
        assert thresholds.level is not None
        ng = (scores >= thresholds.score.ng) | (levels >= thresholds.level.ng)
        kept += ng.mean() <= 0.1
    assert kept >= 51  # 57 of 60 are promised; fewer than 51 have a probability below 1e-2


def test_the_default_is_5_percent_or_what_so_few_images_prove_without_a_model() -> None:
    enough = plan_of(93, Wish())
    assert (enough.kind, enough.rate) == ("order", 0.05)
    assert rate_warning(93, enough) is None
    few = plan_of(40, Wish())
    assert few.kind == "order"
    assert few.rate == pytest.approx(0.1132, abs=1e-4)
    assert "0.113, the smallest that 40 different good images prove; 93" in str(
        rate_warning(40, few)
    )
    assert plan_of(40, Wish(criteria="score")).rate == pytest.approx(0.0722, abs=1e-4)
    asked = plan_of(40, Wish(rate=0.05))
    assert (asked.kind, rate_warning(40, asked)) == ("tail", None)


def test_ten_images_support_no_small_rate_and_the_line_says_how_many_would() -> None:
    for wish, needed in ((Wish(), "22"), (Wish(rate=0.05), "93")):
        with pytest.raises(GateError, match="10 good images cannot support") as caught:
            chosen(parts(10), wish)
        assert caught.value.exit_code == 6
        assert f"take {needed} or more" in str(caught.value)


def test_a_fitted_tail_never_lies_beyond_what_a_score_can_reach() -> None:
    good = parts(60)
    limit = chosen(good, Wish(rate=0.01, criteria="score")).score
    assert limit is not None
    assert limit.kind == "tail"
    assert limit.fit is not None
    assert max(one.score for one in good) * 0.9 < limit.ng < 1
    assert "rests on a fitted tail (299 images" in limit.warnings[0]
    assert not any("rests on a tail fitted" in warning for warning in limit.warnings)


@pytest.mark.parametrize("rate", [0.1, 0.01])
def test_a_plan_chooses_what_the_record_says(rate: float) -> None:
    good = parts(150)
    pictures = Pictures.of_good(good, examined(good).groups)
    plan = plan_of(pictures.count, Wish(rate=rate))
    limits, record = plan.limits(pictures), thresholds_from_pictures(pictures, plan)
    for limit, said in ((limits.score, record.score), (limits.level, record.level)):
        assert limit is not None
        assert said is not None
        assert (limit.review, limit.ng) == (said.review, said.ng)


def test_ten_pictures_copied_ten_times_are_no_hundred() -> None:
    copies = [
        measured(one.score, number, level=one.level)
        for one in (parts(40))
        for number in [int(one.name.split(".")[0])] * 10
    ]
    assert len(copies) == 400
    once, copied = chosen(parts(40)), chosen(copies)
    assert copied == once
    assert copied.score is not None
    assert copied.score.images == 40
    with pytest.raises(GateError, match="10 good images cannot support"):
        chosen(copies[:100])


def test_log_odds_turn_back() -> None:
    numbers = np.array([0.0, 1e-9, 0.25, 0.5, 0.999, 1.0])
    logits = logits_of(numbers)
    assert np.isfinite(logits).all()
    assert (np.diff(logits) >= 0).all()
    back = np.array([probability_of(float(one)) for one in logits])
    np.testing.assert_allclose(back, numbers, atol=1e-7)
