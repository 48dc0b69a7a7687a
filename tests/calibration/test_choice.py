"""Limits by costs cost least, say what they still prove, and are judged on pictures that they never saw."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy import ndarray

from tests.calibration.test_collection import measured
from vipx.calibration.choice import (
    Chooser,
    left_out,
    limits_of_record,
    moved,
    moved_record,
    verdicts_of,
)
from vipx.calibration.collection.goodset import examined
from vipx.calibration.collection.pictures import Pictures
from vipx.calibration.labelled import Labels, OperatingPoint, labelled
from vipx.calibration.limits import Plan, Wish, logits_of, plan_of, thresholds_from_pictures
from vipx.calibration.thresholds.costs import Costs
from vipx.errors import GateError
from vipx.verdict import Limit, Limits, Verdict

NUMBERS = arrays(np.float64, st.integers(2, 12), elements=st.floats(2**-10, 1, width=16))
DEAR = Costs(miss=50.0, prevalence=0.1)


def pictures(count: int, mean: float, seed: int) -> Pictures:
    score, level = 1 / (1 + np.exp(-np.random.default_rng(seed).normal(mean, 1, (2, count))))
    return Pictures(score, level)


def plan(count: int, wish: Wish = Wish()) -> Plan:  # noqa: B008 - frozen
    return plan_of(count, wish)


def cost(said: OperatingPoint, costs: Costs) -> float:
    assert said.false_alarms.value is not None
    assert said.found.value is not None
    return costs.expected(said.false_alarms.value, 1 - said.found.value)


def point(limits: Limits, good: Pictures, defects: Pictures) -> OperatingPoint:
    return OperatingPoint.of(verdicts_of(limits, good), verdicts_of(limits, defects))


def test_no_shift_of_both_limits_is_cheaper() -> None:
    good, defects = pictures(60, -2, 1), pictures(30, -1, 2)
    limits = plan(60).limits(good)
    found = moved(limits, good, defects, DEAR)
    assert found.score is not None
    assert found.level is not None
    least = cost(point(found, good, defects), DEAR)
    assert least < cost(point(limits, good, defects), DEAR)
    for shift in np.linspace(-6, 6, 121):
        other = Limits(shifted(limits.score, shift), shifted(limits.level, shift))
        assert least <= cost(point(other, good, defects), DEAR) + 1e-12


def shifted(limit: Limit | None, shift: float) -> Limit:
    assert limit is not None
    ng = float(1 / (1 + np.exp(-(logits_of(np.array([limit.ng]))[0] + shift))))
    return Limit(min(limit.review, ng), ng)


@given(NUMBERS, NUMBERS, st.floats(0.1, 100), st.floats(0.01, 0.9))
@settings(max_examples=60)
def test_rounding_puts_no_picture_on_the_other_side(
    good: ndarray, bad: ndarray, miss: float, prevalence: float
) -> None:
    costs = Costs(miss, prevalence)
    limits = Limits(score=Limit(0.3, 0.5))
    found = moved(limits, Pictures(good, good), Pictures(bad, bad), costs)
    assert found.score is not None
    assert found.score.ng > 0
    assert found.score.review <= found.score.ng
    least = min(
        costs.expected(float(np.mean(good >= t)), float(np.mean(bad < t)))
        for t in [2.0, 5e-324, *logits_apart(good, bad)]
    )
    ng = found.score.ng
    assert costs.expected(float(np.mean(good >= ng)), float(np.mean(bad < ng))) <= least + 1e-9


def logits_apart(good: ndarray, bad: ndarray) -> list[float]:
    """Numbers that float32 could tell apart; nearer ones count as equal."""
    return [float(x) for x in np.concatenate([good, bad]) if 1e-6 < x < 1 - 1e-6]


def test_the_record_names_the_costs_and_keeps_what_good_images_say() -> None:
    good, defects = pictures(60, -2, 3), pictures(30, 1, 4)
    before = thresholds_from_pictures(good, plan(60))
    after = moved_record(before, good, defects, DEAR)
    assert after.costs is not None
    assert (after.costs.miss, after.costs.prevalence, after.costs.defects) == (50.0, 0.1, 30)
    for old, new in ((before.score, after.score), (before.level, after.level)):
        assert old is not None
        assert new is not None
        assert new.kind == "cost"
        assert new.good == (old.review, old.ng)
        assert (new.good_ng, new.interval) == (old.ng, old.interval)
        assert new.ng < old.ng
        assert new.review <= new.ng
        assert "flatters itself" in new.warnings[-1]
    limits = limits_of_record(after)
    assert point(limits, good, defects) == point(
        moved(limits_of_record(before), good, defects, DEAR), good, defects
    )


def test_false_alarms_are_bounded_for_whichever_limit_labels_choose() -> None:
    line, broken = 0, 0
    for seed in range(300):
        good, defects = pictures(40, -2, 2 * seed + 1000), pictures(8, 0, 2 * seed + 1001)
        wish = Wish(criteria="score")
        record = thresholds_from_pictures(good, plan(40, wish))
        limit = moved_record(record, good, defects, DEAR).score
        assert limit is not None
        logit = logits_of(np.array([limit.ng]))[0]
        true = math.erfc((logit + 2) / math.sqrt(2)) / 2
        line += 1
        broken += not limit.false_alarms[0] <= true <= limit.false_alarms[1]
    assert broken / line <= 0.1  # each end at 95 %, both at 90 %


def test_one_defect_is_too_few_to_weigh() -> None:
    good, defects = pictures(60, -2, 5), pictures(1, 1, 6)
    with pytest.raises(GateError, match="1 different defective images"):
        moved_record(thresholds_from_pictures(good, plan(60)), good, defects, DEAR)


def test_without_costs_defects_change_nothing_and_are_judged_as_written() -> None:
    good, defects = pictures(60, -2, 7), pictures(30, 1, 8)
    limits = plan(60).limits(good)
    said = left_out(Chooser(plan(60)), good, defects)
    assert list(said.defects) == verdicts_of(limits, defects)
    # The pictures at the limits are beyond those of the others; nothing else changes sides.
    assert said.good.count(Verdict.NG) >= plan(60).ng


@pytest.mark.parametrize("count", [50, 230])
def test_each_picture_is_judged_by_limits_made_without_it(count: int) -> None:
    good, defects = pictures(count, -2, 9), pictures(20, 1, 10)
    chooser = Chooser(plan(count), DEAR)
    said = left_out(chooser, good, defects)
    assert (len(said.good), len(said.defects)) == (count, 20)
    without = np.arange(20) != 3
    limits = chooser.limits(good, defects.where(without))
    assert said.defects[3] is verdicts_of(limits, defects.where(~without))[0]
    lot = np.arange(count) % 100 == 3
    limits = chooser.limits(good.where(~lot), defects)
    assert said.good[3] is verdicts_of(limits, good.where(lot))[0]


def test_left_out_pictures_flatter_less_than_those_that_chose() -> None:
    """Where scores say nothing a chosen limit looks better than it is; left-out pictures do not agree."""
    written, unseen = [], []
    even = Costs(miss=1.0, prevalence=0.5)
    for seed in range(40):
        good, defects = pictures(30, 0, 2 * seed + 50), pictures(15, 0, 2 * seed + 51)
        chooser = Chooser(plan(30, Wish(rate=0.2)), even)
        limits = chooser.limits(good, defects)
        said = left_out(chooser, good, defects)
        written.append(cost(point(limits, good, defects), even))
        unseen.append(cost(OperatingPoint.of(said.good, said.defects), even))
    assert np.mean(written) < 0.45  # no limit can cost less than one half on the line
    assert np.mean(unseen) > 0.47


def test_labelled_pictures_are_counted_once_and_missed_ones_are_named() -> None:
    scores = 1 / (1 + np.exp(-np.random.default_rng(0).normal(-2, 0.5, 200)))
    good = [measured(float(score), number) for number, score in enumerate(scores)]
    bad = [
        measured(0.9, 500, level=0.1),
        measured(0.9, 500, level=0.1, name="copy.png"),
        measured(0.1, 501, level=0.9),
        measured(0.02, 502),
    ]
    groups = examined(good).groups
    pictures_ = Pictures.of_good(good, groups), Pictures.of_defects(bad)
    chooser = Chooser(plan(200, Wish(rate=0.1)))
    thresholds = thresholds_from_pictures(pictures_[0], chooser.plan)
    found = labelled(thresholds, Labels(good, bad, *pictures_), chooser)
    assert (found.left_out.found.count, found.left_out.found.images) == (2, 3)
    assert found.left_out.found == found.written.found
    assert found.missed == ("502.png",)
    assert found.written.false_alarms.images == 200
    assert found.left_out.false_alarms.count >= found.written.false_alarms.count
    assert found.left_out.precision.images == 2 + found.left_out.false_alarms.count
    below = [np.sum(scores < one.score) for one in bad]
    assert found.auroc == pytest.approx(sum(below) / 800, abs=1e-12)
    assert found.cost is None


def test_defects_that_repeat_one_another_are_found_if_all_of_them_are() -> None:
    twins = [measured(0.9, 1), measured(0.2, 1)]
    found = Pictures.of_defects([*twins, measured(0.7, 2)])
    assert found.score.tolist() == [0.2, 0.7]


def test_a_point_without_alarms_has_no_precision() -> None:
    found = OperatingPoint.of([Verdict.OK], [Verdict.REVIEW, Verdict.OK])
    assert found.precision.value is None
    assert (found.precision.lower, found.precision.upper) == (0, 1)
    assert (found.found.count, found.seen.count) == (0, 1)


def test_records_without_costs_keep_the_bytes_of_older_recipes() -> None:
    good, defects = pictures(60, -2, 3), pictures(30, 1, 4)
    plain = thresholds_from_pictures(good, plan(60)).model_dump(mode="json")
    assert "costs" not in plain
    assert "good" not in plain["score"]
    dear = moved_record(thresholds_from_pictures(good, plan(60)), good, defects, DEAR)
    assert "false_alarms" not in dear.model_dump(mode="json")
    again = type(dear).model_validate_json(dear.model_dump_json())
    assert again == dear
