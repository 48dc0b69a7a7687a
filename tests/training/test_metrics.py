"""Metrics against the published code's numbers, against brute force, and on one-class data."""

import json
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vipx.errors import InputError
from vipx.training import metrics
from vipx.training.metrics.ranking import ranked
from vipx.training.metrics.regions import region_weights

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics_a"
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.floats(0, 1, width=32)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "maps.npz") as arrays_:
        return dict(arrays_)


def test_every_metric_reproduces_the_published_numbers(golden: dict[str, np.ndarray]) -> None:
    expected = json.loads((GOLDEN / "expected.json").read_text())
    labels, scores = golden["labels"], golden["scores"]
    masks, maps = golden["masks"], golden["maps"]
    got = metrics.measured(labels, scores, masks, maps)
    for name, value in (
        ("image-auroc", got.image_auroc),
        ("image-ap", got.image_ap),
        ("image-f1", got.image_f1_max),
        ("pixel-auroc", got.pixel_auroc),
        ("pixel-f1", got.pixel_f1_max),
        ("pixel-aupro", got.aupro),
        ("pixel-f1-threshold", metrics.pixel_f1_threshold(masks, maps)),
    ):
        assert value == pytest.approx(expected[name], abs=1e-6), name


def test_exact_aupro_stays_near_the_published_one(golden: dict[str, np.ndarray]) -> None:
    masks, maps = golden["masks"], golden["maps"]
    exact = metrics.aupro(masks, maps, mode="exact")
    official = metrics.aupro(masks, maps, mode="official")
    assert exact == pytest.approx(official, abs=0.03)


def regions(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """Pixels of each part whose pixels touch by a side or a corner."""
    left = {(int(row), int(col)) for row, col in np.argwhere(mask)}
    found = []
    while left:
        region, edge = set(), {left.pop()}
        while edge:
            region |= edge
            near = {(r + i, c + j) for r, c in edge for i in (-1, 0, 1) for j in (-1, 0, 1)}
            edge = near & left
            left -= edge
        found.append(region)
    return found


def brute_force_aupro(masks: np.ndarray, maps: np.ndarray) -> float:
    """Every threshold, every region, one by one; then numpy's interpolation."""
    points = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        found = maps >= threshold
        overlaps = []
        for mask, hit in zip(masks, found, strict=True):
            overlaps += [np.mean([hit[pixel] for pixel in region]) for region in regions(mask)]
        points.append((float(found[~masks].mean()), float(np.mean(overlaps))))
    fine = np.array(points)
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(fine):
        if x0 >= 0.3:
            break
        if x1 > 0.3:
            x1, y1 = 0.3, y0 + (y1 - y0) * (0.3 - x0) / (x1 - x0)
        area += (x1 - x0) * (y0 + y1) / 2
    return area / 0.3


@settings(max_examples=150, deadline=None)
@given(
    masks=arrays(np.bool_, (2, 5, 7)),
    # Few levels, so that many pixels share a value. Of masks this small nearly all touch a border.
    levels=arrays(np.int64, (2, 5, 7), elements=st.integers(0, 9)),
)
def test_exact_aupro_equals_brute_force(masks: np.ndarray, levels: np.ndarray) -> None:
    maps = levels / 9.0
    got = metrics.aupro(masks, maps, mode="exact")
    if not masks.any() or masks.all():
        assert got is None
    else:
        assert got == pytest.approx(brute_force_aupro(masks, maps), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    masks=arrays(np.bool_, (2, 5, 7)),
    levels=arrays(np.int64, (2, 5, 7), elements=st.integers(0, 9)),
)
def test_no_metric_leaves_its_range_by_rounding(masks: np.ndarray, levels: np.ndarray) -> None:
    # The worst order: every anomalous pixel below every normal one, at different levels.
    for maps in (levels / 9.0, (levels - 10 * masks) / 9.0):
        for mode in ("official", "exact"):
            got = metrics.aupro(masks, maps, mode=mode)
            assert got is None or 0.0 <= got <= 1.0


@settings(max_examples=60, deadline=None)
@given(
    labels=arrays(np.bool_, 12),
    levels=arrays(np.int64, 12, elements=st.integers(0, 5)),
)
def test_auroc_is_the_chance_that_an_anomaly_scores_higher(
    labels: np.ndarray, levels: np.ndarray
) -> None:
    scores = levels.astype(np.float64)
    got = metrics.image_auroc(labels, scores)
    if not labels.any() or labels.all():
        assert got is None
        return
    pairs = scores[labels][:, None] - scores[~labels][None, :]
    assert got == pytest.approx(float((pairs > 0).mean() + 0.5 * (pairs == 0).mean()))


@settings(max_examples=100, deadline=None)
@given(
    labels=arrays(np.bool_, 14),
    levels=arrays(np.int64, 14, elements=st.integers(0, 6)),
)
def test_precision_and_f1_equal_a_count_at_every_value(
    labels: np.ndarray, levels: np.ndarray
) -> None:
    scores = levels.astype(np.float32)
    if not labels.any() or labels.all():
        assert metrics.image_ap(labels, scores) is metrics.image_f1_max(labels, scores) is None
        return
    average, recall_before, best = 0.0, 0.0, 0.0
    for value in sorted(set(levels.tolist()), reverse=True):
        found = levels >= value
        precision, recall = labels[found].mean(), found[labels].mean()
        average += precision * (recall - recall_before)
        recall_before = recall
        best = max(best, 2 * precision * recall / (precision + recall) if recall else 0.0)
    assert metrics.image_ap(labels, scores) == pytest.approx(average)
    assert metrics.image_f1_max(labels, scores) == pytest.approx(best)


@settings(max_examples=100, deadline=None)
@given(
    normal=arrays(np.bool_, 200),
    values=arrays(np.float32, 200, elements=FINITE),
    steps=st.integers(0, 20),
)
def test_normal_values_are_counted_as_if_all_were_sorted(
    normal: np.ndarray, values: np.ndarray, steps: int
) -> None:
    ranking = ranked(~normal, values, steps=steps)
    if ranking is None:
        assert normal.all() or not normal.any()
        return
    plain = np.sort(values[normal])
    above = plain.size - plain.searchsorted(ranking.thresholds, side="right")
    np.testing.assert_array_equal(ranking.above, above)
    from_here = plain.size - plain.searchsorted(ranking.thresholds, side="left")
    np.testing.assert_array_equal(ranking.from_here, from_here)
    above_steps = plain.size - plain.searchsorted(ranking.steps, side="right")
    np.testing.assert_array_equal(ranking.above_steps, above_steps)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.uint8])
def test_the_type_of_the_values_changes_nothing(kind: type) -> None:
    generator = np.random.default_rng(1)
    masks = np.zeros((2, 9, 11), np.uint8)
    masks[0, :3, 8:] = 255  # touches two borders
    maps: np.ndarray = generator.integers(0, 50, masks.shape).astype(kind)
    got = metrics.measurement(None, None, masks, maps).metrics()
    expected = metrics.measurement(None, None, masks, maps.astype(np.float64)).metrics()
    assert asdict(got) == pytest.approx(asdict(expected))


def test_regions_that_touch_by_a_corner_are_one() -> None:
    masks = np.zeros((1, 6, 6), np.bool_)
    masks[0, 0, 0] = masks[0, 1, 1] = masks[0, 5, 2] = True
    np.testing.assert_allclose(region_weights(masks), [0.25, 0.25, 0.5])


def test_images_and_pixels_can_be_measured_alone() -> None:
    labels, scores = np.array([0, 1, 1]), np.array([0.1, 0.4, 0.2])
    alone = metrics.measurement(labels, scores, None, None).metrics().record("official")
    assert alone["image_auroc"] == 1.0
    assert alone["pixel_auroc"] is alone["aupro"] is None
    masks, maps = labels.reshape(1, 1, 3), scores.reshape(1, 1, 3)
    alone = metrics.measurement(None, None, masks, maps).metrics().record("exact")
    assert alone["image_auroc"] is None
    assert alone["pixel_auroc"] == alone["aupro"] == 1.0


@pytest.mark.parametrize("value", [0, 1])
def test_one_class_leaves_every_metric_undefined(value: int) -> None:
    labels, scores = np.full(4, value), np.linspace(0, 1, 4)
    masks, maps = np.full((4, 3, 5), value), np.linspace(0, 1, 60).reshape(4, 3, 5)
    got = asdict(metrics.measured(labels, scores, masks, maps))
    assert set(got.values()) == {None}
    assert metrics.pixel_f1_threshold(masks, maps) is None


def test_a_perfect_map_reaches_one() -> None:
    masks = np.zeros((1, 8, 9), np.bool_)
    masks[0, 2:4, 3:6] = True
    assert metrics.aupro(masks, masks.astype(np.float64), mode="exact") == pytest.approx(1.0)
    assert metrics.pixel_auroc(masks, masks.astype(np.float64)) == pytest.approx(1.0)


def test_a_constant_map_has_no_published_aupro_but_never_nan() -> None:
    masks = np.zeros((1, 8, 9), np.bool_)
    masks[0, 2:4, 3:6] = True
    flat = np.full(masks.shape, 0.5)
    assert metrics.aupro(masks, flat, mode="official") is None
    assert metrics.aupro(masks, flat, mode="exact") == pytest.approx(0.15)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        metrics.image_auroc(np.array([0, 1]), np.array([0.0, np.nan]))
