"""A calibration as plain data, with what a person should do next."""

from collections.abc import Iterator
from typing import Any

from vipx.calibration.calibrate import Calibration
from vipx.calibration.labelled import verdict_of
from vipx.calibration.limits import joint_false_alarms
from vipx.recipe import LimitRecord, Recipe

_MOVED = 0.1  # of the good images: a perturbation that turns more of them NG matters
_FOUND = 0.9


def calibration_record(result: Calibration) -> dict[str, Any]:
    """Give everything that was found, without arrays."""
    recipe = result.recipe
    fold, costs = recipe.fold, recipe.thresholds.costs
    return {
        "product": recipe.product,
        "sha256": recipe.sha256,
        "bundle": recipe.bundle.model_dump(mode="json"),
        "engine": recipe.engine.model_dump(mode="json"),
        "images": recipe.images.count,
        "distinct_images": recipe.images.distinct,
        "limits": {name: each.model_dump(mode="json") for name, each in limits_of(recipe)},
        "chosen_by": chosen_by(recipe),
        "costs": None if costs is None else costs.model_dump(mode="json"),
        "minimal_area": recipe.thresholds.minimal_area,
        "false_alarms": joint_false_alarms(recipe.thresholds),
        "fold": None if fold is None else fold.model_dump(mode="json", exclude={"texts"}),
        "outliers": list(result.goodset.outliers),
        "repeated": repeated(result),
        "labelled": None if result.labelled is None else result.labelled.record(),
        "stress": [row.record() for row in result.stress],
        "warnings": warnings_of(result),
        "advice": list(advice(result)),
        "scores": [
            {
                "name": one.name,
                "good": good,
                "score": one.score,
                "level": one.level,
                "curve": list(one.curve),
                "verdict": verdict_of(recipe.thresholds, one).value,
            }
            for good, those in ((True, result.good), (False, result.defects))
            for one in those
        ],
    }


def chosen_by(recipe: Recipe) -> str:
    """Say what put the limits where they are."""
    return "good images" if recipe.thresholds.costs is None else "costs"


def limits_of(recipe: Recipe) -> tuple[tuple[str, LimitRecord], ...]:
    """Give the limits that decide, by name."""
    thresholds = recipe.thresholds
    both = (("score", thresholds.score), ("heat map", thresholds.level))
    return tuple((name, limit) for name, limit in both if limit is not None)


def repeated(result: Calibration) -> list[list[str]]:
    """Give the names of good images that repeat one another, group by group."""
    groups = result.goodset.groups.members()
    return [[result.good[place].name for place in each] for each in groups]


def warnings_of(result: Calibration) -> list[str]:
    """Give all warnings, those of the images first."""
    warnings = list(result.recipe.images.warnings)
    for name, limit in limits_of(result.recipe):
        warnings += [f"{name}: {warning}" for warning in limit.warnings]
    return warnings


def advice(result: Calibration) -> Iterator[str]:
    """Say what to do next, the most pressing first."""
    recipe = result.recipe
    if result.goodset.outliers:
        yield (
            f"Look at {result.goodset.outliers[0]}: it stands apart from the other good images. If it is "
            "defective, calibrate again with --leave-out."
        )
    if any(limit.kind == "tail" for _, limit in limits_of(recipe)):
        yield (
            "Collect more good images: the rate rests on a fitted tail, and with more images no fit is "
            "needed. Until then treat REVIEW as the line's decision to make by hand."
        )
    found = result.labelled and result.labelled.left_out.found
    if found and (found.value or 0.0) < _FOUND:
        yield (
            f"{found.text} of the defects are NG. Look at the ones that were missed before the line relies "
            "on it; a higher --rate, a --region or training on similar parts helps."
        )
    worst = sorted(result.stress[1:], key=lambda row: -(row.ng.value or 0.0))[:1]
    if worst and (worst[0].ng.value or 0.0) > _MOVED:
        row = worst[0]
        yield (
            f"Keep {row.name} steady: at {row.amount} {row.ng.text} of the good images are NG. Images "
            "taken over a whole shift would widen what counts as good."
        )
    if result.labelled is None:
        yield "Photograph a few defective parts and pass them with --defects, to know what is found."
    if not result.stress:
        yield "Run it once with --stress, to know which changes of light and focus the line bears."
    yield "Calibrate again when camera, lens, light or material change: `vipx drift` tells when."
