"""What lies outside the region never counts, a full region changes nothing, and recipes do not mix."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray

from tests.test_recipe import limit, recipe
from tests.tiny import noise_images
from vipx.bundle import Bundle, read_bundle
from vipx.demo import DEMO_BUNDLE
from vipx.errors import RecipeError, UsageError
from vipx.recipe import ArrayRecord, BundleRecord, Recipe, RegionRecord, ThresholdsRecord
from vipx.runtime import Inspector
from vipx.runtime.engines.engine import EngineOptions
from vipx.runtime.judgement import judge_by_recipe, view_of
from vipx.runtime.region import region_of, spread_matrices
from vipx.training.data.procedural import draw_part
from vipx.verdict import Evidence, Limit, Limits, Verdict, judge

FULL = RegionRecord(polygons=(((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)),))
LEFT = RegionRecord(polygons=(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)),))
DEMO = read_bundle(DEMO_BUNDLE)


def recipe_for(bundle: Bundle, ng: float, region: RegionRecord | None = None) -> Recipe:
    thresholds = ThresholdsRecord(score=limit(ng, ng), level=limit(ng, ng), minimal_area=3)
    identity = BundleRecord(identity=bundle.identity, name="x")
    return recipe(thresholds=thresholds, bundle=identity, region=region)


def patch_map(seed: int, shape: tuple[int, int] = (20, 20)) -> ndarray:
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_nothing_outside_the_region_changes_any_number(seed: int, width: float) -> None:
    corners = ((0.0, 0.0), (width, 0.0), (width, 1.0), (0.0, 1.0))
    view = view_of(DEMO.manifest, RegionRecord(polygons=(corners,)), area=7)
    assert view.region is not None
    patches, inside = patch_map(seed), view.region.patches
    other = np.where(inside, patches, patch_map(seed + 1))
    heats = [view.anomaly_map(np.zeros((160, 160), np.float32), each) for each in (patches, other)]
    np.testing.assert_array_equal(heats[0], heats[1])
    assert view.score(0.1, patches) == view.score(0.9, other)
    assert view.level(heats[0]) == view.level(heats[1])
    counted = heats[0][view.region.pixels]
    assert patches[inside].min() - 1e-5 <= counted.min()
    assert counted.max() <= patches[inside].max() + 1e-5


def test_the_spread_of_patches_is_the_graphs_own_heat_map() -> None:
    with Inspector.open(DEMO_BUNDLE) as inspector:
        result = inspector.inspect(draw_part("knit", 3, height=160, width=160, defect="hole").image)
    rows, columns = spread_matrices(DEMO.manifest)
    np.testing.assert_allclose(rows @ result.patch_map @ columns.T, result.anomaly_map, atol=2e-6)


@pytest.mark.parametrize("region", [FULL, RegionRecord(mask=ArrayRecord.of(np.ones((3, 5), bool)))])
def test_a_full_region_is_none_bit_for_bit(tiny_bundle: Path, region: RegionRecord) -> None:
    bundle = read_bundle(tiny_bundle)
    assert region_of(region, bundle.manifest) is None
    plain, full = recipe_for(bundle, 0.5), recipe_for(bundle, 0.5, region)
    with Inspector.open(tiny_bundle, recipe=plain) as inspector:
        other = inspector.with_recipe(full)
        for pixels in noise_images(3, seed=5):
            assert inspector.inspect(pixels).evidence == other.inspect(pixels).evidence


def test_a_defect_outside_the_region_is_seen_and_does_not_make_ng() -> None:
    """A drawn hole in one half: NG without a region, not where the other half counts."""
    part = draw_part("knit", 3, height=160, width=160, defect="hole")
    assert part.mask is not None
    assert np.flatnonzero(part.mask.any(axis=0)).min() >= 84
    good = draw_part("knit", 3, height=160, width=160, defect=None).image
    options = EngineOptions(threads=1)
    with Inspector.open(DEMO_BUNDLE, recipe=recipe_for(DEMO, 0.6), options=options) as whole:
        assert whole.inspect(good).verdict is Verdict.OK
        found = whole.inspect(part.image)
        assert (found.verdict, found.causes) == (Verdict.NG, ("score", "area"))
        passed = whole.with_recipe(recipe_for(DEMO, 0.6, LEFT)).inspect(part.image)
    assert passed.verdict is Verdict.OK
    assert passed.causes == ("region",)
    assert "beside the region" in passed.reason


def test_a_region_without_a_patch_is_refused() -> None:
    tiny = RegionRecord(polygons=(((0.5, 0.5), (0.501, 0.5), (0.5, 0.501)),))
    with pytest.raises(UsageError, match="holds no half of any patch"):
        view_of(DEMO.manifest, tiny)


def test_the_level_is_what_the_minimal_area_reaches() -> None:
    heat = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    for area in (1, 2, 12):
        level = view_of(DEMO.manifest, None, area).level(heat)
        assert np.count_nonzero(heat >= level) == area
    heat[1, 1] = np.nan
    assert np.isnan(view_of(DEMO.manifest, None, 2).level(heat))


def test_two_recipes_in_one_process_answer_as_in_two(tiny_bundle: Path) -> None:
    bundle = read_bundle(tiny_bundle)
    images = noise_images(4, seed=8)
    with Inspector.open(tiny_bundle) as plain:
        middle = float(np.median([plain.inspect(pixels).score for pixels in images]))
    recipes = [recipe_for(bundle, 0.01), recipe_for(bundle, middle, LEFT)]
    alone = []
    for one in recipes:
        with Inspector.open(tiny_bundle, recipe=one) as inspector:
            alone.append([inspector.inspect(pixels).evidence for pixels in images])
    with Inspector.open(tiny_bundle, recipe=recipes[0]) as first:
        second = first.with_recipe(recipes[1])
        for place, pixels in enumerate(images):
            assert first.inspect(pixels).evidence == alone[0][place]
            assert second.inspect(pixels).evidence == alone[1][place]


def test_recipes_for_another_bundle_or_with_a_threshold_beside_are_refused(
    tiny_bundle: Path,
) -> None:
    with pytest.raises(RecipeError, match="made for the bundle"):
        Inspector.open(tiny_bundle, recipe=recipe())
    mine = recipe_for(read_bundle(tiny_bundle), 0.5)
    with pytest.raises(UsageError, match="either a threshold or a recipe"):
        Inspector.open(tiny_bundle, recipe=mine, threshold=0.5)


unit = st.floats(0, 1)


@given(unit, unit, unit, unit)
def test_ok_needs_every_number_and_ng_only_one(
    score: float, level: float, a: float, b: float
) -> None:
    limits = Limits(Limit(a / 2, a), Limit(b / 2, b), area=4)
    verdict = judge(Evidence(score, level), limits).verdict
    assert (verdict is Verdict.NG) == (score >= a or level >= b)
    assert (verdict is Verdict.OK) == (score < a / 2 and level < b / 2)


@pytest.mark.parametrize("level", [None, float("nan"), 1.5])
def test_a_level_that_is_none_is_an_error_even_beside_an_ng_score(level: float | None) -> None:
    limits = Limits(Limit(0.4, 0.5), Limit(0.4, 0.5))
    assert judge(Evidence(0.9, level), limits).verdict is Verdict.ERROR


def test_a_recipe_names_what_it_compares(tiny_bundle: Path) -> None:
    judged = judge_by_recipe(recipe_for(read_bundle(tiny_bundle), 0.5), read_bundle(tiny_bundle))
    assert judged.limits == Limits(Limit(0.5, 0.5), Limit(0.5, 0.5), 3)
