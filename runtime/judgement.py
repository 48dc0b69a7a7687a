"""From the arrays of a run to a verdict: a recipe's region and limits, or one plain threshold."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from vipx.bundle import Bundle
from vipx.manifest import Manifest, MethodRecord
from vipx.recipe import LimitRecord, Recipe, RegionRecord, check_bundle
from vipx.runtime.region import Region, region_of
from vipx.verdict import Decision, Evidence, Limit, Limits, check_threshold, judge


@dataclass(frozen=True, slots=True)
class View:
    """How the numbers of an image are read off: over the whole image, or in a region alone.

    Attributes:
        region: None for the whole image.
        best: How many patches make a region's score.
        area: How many pixels must reach a level of the heat map.
    """

    region: Region | None = None
    best: int = 1
    area: int = 1

    def score(self, score: float, patch_map: Float[ndarray, "rows columns"]) -> float:
        """Give the score of what counts, in [0, 1].

        That of the whole image is the graph's own. A region's is the mean of its highest patches in the patch
        map, as many as the method takes (methods/vip2clip.md 1.5, on the mean of the layers).
        """
        if self.region is None:
            return score
        inside = patch_map[self.region.patches]
        best = min(self.best, inside.size)
        return float(np.sort(inside)[-best:].mean(dtype=np.float64))

    def anomaly_map(
        self,
        anomaly_map: Float[ndarray, "height width"],
        patch_map: Float[ndarray, "rows columns"],
    ) -> Float[ndarray, "height width"]:
        """Give the heat map of what counts: the graph's own, or that of the region's patches alone."""
        return anomaly_map if self.region is None else self.region.anomaly_map(patch_map)

    def level(self, heat: Float[ndarray, "height width"]) -> float:
        """Give the highest value that `area` pixels of what counts reach; the maximum where `area` is 1."""
        inside = heat.ravel() if self.region is None else heat[self.region.pixels]
        place = inside.size - min(self.area, inside.size)
        # NaN sorts last: a map that holds one gives NaN or is seen at its maximum.
        if np.isnan(inside).any():
            return float("nan")
        return float(np.partition(inside, place)[place])


@dataclass(frozen=True, slots=True)
class Judge:
    """A view and the limits that its numbers meet."""

    view: View
    limits: Limits

    def evidence(
        self,
        score: float,
        patch_map: Float[ndarray, "rows columns"],
        anomaly_map: Float[ndarray, "height width"],
    ) -> Evidence:
        """Read the numbers of one image off its arrays."""
        counted = self.view.score(score, patch_map)
        limit, region = self.limits.level, self.view.region
        if limit is None:
            return Evidence(counted)
        heat = self.view.anomaly_map(anomaly_map, patch_map)
        outside = 0
        if region is not None:
            outside = int(np.count_nonzero(anomaly_map[~region.pixels] >= limit.ng))
        pixels = int(np.count_nonzero(heat >= limit.ng))
        return Evidence(counted, self.view.level(heat), pixels, outside >= self.limits.area)

    def decide(self, evidence: Evidence) -> Decision:
        """Judge one image."""
        return judge(evidence, self.limits)


def judge_by_threshold(threshold: float | None) -> Judge:
    """Judge the whole image's score alone; without a threshold every verdict is REVIEW.

    Raises:
        UsageError: The threshold is no number in (0, 1].
    """
    if threshold is None:
        return Judge(View(), Limits())
    checked = check_threshold(threshold)
    return Judge(View(), Limits(score=Limit(checked, checked)))


def judge_by_recipe(recipe: Recipe, bundle: Bundle) -> Judge:
    """Judge as a recipe says.

    Raises:
        RecipeError: It was made for another bundle.
        UsageError: Its region holds no patch.
    """
    check_bundle(recipe, bundle)
    thresholds = recipe.thresholds
    view = view_of(bundle.manifest, recipe.region, thresholds.minimal_area)
    limits = Limits(_limit(thresholds.score), _limit(thresholds.level), view.area)
    return Judge(view, limits)


def view_of(manifest: Manifest, region: RegionRecord | None, area: int = 1) -> View:
    """Say how the numbers of a bundle's images are read off.

    Raises:
        UsageError: The region holds no patch.
    """
    return View(region_of(region, manifest), _best(manifest.method), area)


def _best(method: MethodRecord) -> int:
    name = {"vip2clip": "top_k", "tokenclip": "map_patches"}[method.name]
    return int(method.config[name])


def _limit(record: LimitRecord | None) -> Limit | None:
    return None if record is None else Limit(record.review, record.ng)
