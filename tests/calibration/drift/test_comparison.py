"""A line without change is left in peace, and one that changed is noticed, camera by camera."""

import json
import os

import numpy as np
import pytest

from vipx.calibration.drift.chance import Sizes, score_level
from vipx.calibration.drift.comparison import Observed, Reference, Watch, compare
from vipx.calibration.drift.summaries import FeatureSummary, ScoreSummary
from vipx.errors import UsageError

DAYS = 50


def observed(scores: np.ndarray, camera: str = "") -> list[Observed]:
    return [Observed(float(score), camera) for score in scores]


def reference(scores: np.ndarray) -> Reference:
    return Reference(ScoreSummary.of(scores))


def pictures(generator: np.random.Generator, images: int, shift: float = 0.0) -> list[Observed]:
    drawn = generator.normal(scale=0.02, size=(images, 16)).astype(np.float32)
    drawn[:, 0] += 1
    drawn[:, 1] += np.float32(shift)
    return [Observed(float(generator.normal()), features=row) for row in drawn]


def any_alarm(seed: int, days: int, calibrated: int) -> bool:
    """Watch a line without change for some days."""
    generator = np.random.default_rng(seed)
    known = reference(generator.normal(size=calibrated))
    return any(
        compare(known, observed(generator.normal(size=200)), Watch(looks=DAYS)).advice
        == "recalibrate"
        for _ in range(days)
    )


def test_fifty_days_without_change_raise_no_alarm() -> None:
    assert not any(any_alarm(seed, DAYS, 40 + 160 * (seed % 2)) for seed in range(2))


@pytest.mark.slow
@pytest.mark.parametrize("calibrated", [40, 200, 1000])
def test_the_family_wise_rate_holds_over_many_periods(calibrated: int) -> None:
    periods, most = (400, 35) if os.environ.get("VIPX_FULL") == "1" else (60, 11)
    alarms = sum(any_alarm(seed, DAYS, calibrated) for seed in range(periods))
    assert (
        alarms <= most
    )  # one in twenty at most is expected; so many have a probability below 1e-3


@pytest.mark.parametrize(("shift", "calibrated"), [(1.0, 200), (-1.0, 40)])
def test_a_shift_of_one_deviation_alarms_within_200_images(shift: float, calibrated: int) -> None:
    noticed = 0
    for seed in range(15):
        generator = np.random.default_rng([seed, 7])
        known = reference(generator.normal(size=calibrated))
        scores = np.concatenate([generator.normal(size=400), generator.normal(shift, size=200)])
        found = compare(known, observed(scores), Watch())
        noticed += any(look.alarm and look.last <= 600 for look in found.looks)
        assert not any(look.alarm and look.last <= 400 for look in found.looks)
    assert noticed == 15


def test_looks_roll_over_the_images_and_end_with_the_last() -> None:
    scores = np.random.default_rng(0).normal(size=330)
    found = compare(reference(scores), observed(scores), Watch())
    assert [(look.first, look.last) for look in found.looks] == [
        (1, 200), (51, 250), (101, 300), (131, 330),
    ]  # fmt: skip
    assert found.advice == "keep"
    few = compare(reference(scores), observed(scores[:30]), Watch())
    assert [(look.first, look.last) for look in few.looks] == [(1, 30)]


def test_the_level_is_shared_among_looks_cameras_and_tests() -> None:
    generator = np.random.default_rng(1)
    scores = generator.normal(size=220)
    watch = Watch(window=20, every=10, looks=5)
    one = compare(reference(scores), observed(scores), watch)
    assert one.period == 21  # more looks than the period was to have
    assert (one.level, one.feature_level) == (score_level(Sizes(220, 20, 21), 0.05), None)
    two = [*observed(scores[:20], "left"), *observed(scores[20:40], "right")]
    assert compare(reference(scores), two, watch).level == score_level(Sizes(220, 20, 5), 0.025)
    shown = pictures(generator, 40)
    known = FeatureSummary.of(np.stack([one.features for one in shown if one.features is not None]))
    both = compare(Reference(ScoreSummary.of(scores), known), shown[:20], watch)
    assert both.level == score_level(Sizes(220, 20, 5), 0.05 * 2 / 3)
    assert both.feature_level == pytest.approx(0.05 / 5 / 3)


def test_only_the_camera_that_changed_is_named() -> None:
    generator = np.random.default_rng(2)
    known = reference(generator.normal(size=200))
    mixed = [
        *observed(generator.normal(size=200), "left"),
        *observed(generator.normal(1.0, size=200), "right"),
    ]
    order = generator.permutation(len(mixed))
    found = compare(known, [mixed[index] for index in order], Watch())
    assert found.advice == "recalibrate"
    assert {look.camera for look in found.looks if look.alarm} == {"right"}
    assert found.evidence[0].startswith("camera right, images 1 to 200: scores have another")
    assert found.images == {"left": 200, "right": 200}


def test_pictures_that_look_different_alarm_though_scores_do_not() -> None:
    generator = np.random.default_rng(3)
    before, after = pictures(generator, 60), pictures(generator, 200, 0.02)
    stacked = np.stack([one.features for one in before if one.features is not None])
    known = Reference(ScoreSummary.of(generator.normal(size=200)), FeatureSummary.of(stacked))
    found = compare(known, after, Watch())
    assert found.advice == "recalibrate"
    assert "pictures look different" in found.evidence[0]
    same = compare(known, pictures(generator, 200), Watch())
    assert (same.advice, same.evidence) == ("keep", ())


def test_too_few_images_are_no_good_news() -> None:
    scores = np.random.default_rng(4).normal(size=200)
    found = compare(reference(scores), observed(scores[:19], "left"), Watch())
    assert found.advice == "collect"
    assert found.looks == ()
    assert "19 images are too few" in found.evidence[0]


def test_what_was_not_compared_is_told() -> None:
    scores = np.random.default_rng(5).normal(size=200)
    found = compare(reference(scores), observed(scores), Watch())
    assert found.evidence == ("features were not compared: the file or the recipe has none",)


def test_features_of_another_bundle_are_refused() -> None:
    generator = np.random.default_rng(6)
    known = Reference(
        ScoreSummary.of(generator.normal(size=40)),
        FeatureSummary.of(generator.normal(size=(40, 8)).astype(np.float32)),
    )
    with pytest.raises(UsageError, match="expected 8 numbers"):
        compare(known, pictures(generator, 40), Watch())


def test_the_whole_record_is_plain_data() -> None:
    generator = np.random.default_rng(7)
    found = compare(
        reference(generator.normal(size=40)), observed(generator.normal(2, size=60)), Watch()
    )
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert record["advice"] == "recalibrate"
    assert record["looks"][0]["scores"]["statistic"] == found.looks[0].scores.statistic


@pytest.mark.parametrize(
    "options",
    [{"window": 0}, {"every": 0}, {"looks": 0}, {"false_alarms": 0.0}, {"window": 10}],
)
def test_a_watch_that_cannot_look_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        Watch(**options)


def test_no_image_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one image"):
        compare(reference(np.arange(10.0)), [], Watch())
