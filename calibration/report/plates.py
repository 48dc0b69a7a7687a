"""Good images nearest the limit, each with its heat map."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from vipx.bundle import read_bundle
from vipx.calibration.calibrate import Calibration
from vipx.calibration.collection.measurement import Measurement
from vipx.calibration.labelled import verdict_of
from vipx.images import read_image
from vipx.manifest import Manifest
from vipx.recipe import Recipe
from vipx.runtime.heatmaps import overlay
from vipx.runtime.region import region_of, spread_matrices
from vipx.webpage import data_uri

_SHOWN = 6
_LONGEST_SIDE = 320


@dataclass(frozen=True, slots=True)
class Plate:
    """A picture ready for the page."""

    name: str
    numbers: str
    picture: str
    heat: str


def nearest_plates(result: Calibration, bundle: Path, folder: Path) -> tuple[Plate, ...]:
    """Take the good images whose score or heat map is nearest the limit or beyond it, the worst first."""
    manifest = read_bundle(bundle).manifest
    chosen = sorted(result.good, key=lambda one: -_nearness(result.recipe, one))[:_SHOWN]
    scale = _scale(chosen)
    return tuple(_plate(result.recipe, manifest, one, (folder, *scale)) for one in chosen)


def plate_html(plate: Plate) -> str:
    """Lay out one picture beside its heat map."""
    name = escape(plate.name)
    return (
        f'<figure><div><img src="{plate.picture}" alt="{name}">'
        f'<img src="{plate.heat}" alt="heat map of {name}"></div>'
        f"<figcaption>{escape(plate.numbers)}<br><small>{name}</small></figcaption></figure>"
    )


def _nearness(recipe: Recipe, one: Measurement) -> float:
    """Give the larger share of its limit that the score or the heat map reaches."""
    thresholds = recipe.thresholds
    pairs = ((thresholds.score, one.score), (thresholds.level, one.level))
    return max(number / limit.ng for limit, number in pairs if limit is not None)


def _scale(chosen: Sequence[Measurement]) -> tuple[float, float]:
    """Share one scale, so that heat maps can be compared."""
    low = min(float(one.patch_map.min()) for one in chosen)
    high = max(float(one.patch_map.max()) for one in chosen)
    return (low, high) if low < high else (low, low + 1)


def _plate(
    recipe: Recipe, manifest: Manifest, one: Measurement, place: tuple[Path, float, float]
) -> Plate:
    folder, low, high = place
    image = read_image(folder / one.name)
    region = region_of(recipe.region, manifest)
    rows, columns = spread_matrices(manifest)
    heat = rows @ one.patch_map @ columns.T if region is None else region.anomaly_map(one.patch_map)
    shown = overlay(image, heat.astype(np.float32), opacity=0.65, low=low, high=high)
    verdict = verdict_of(recipe.thresholds, one).value
    return Plate(
        name=one.name,
        numbers=f"{verdict}: score {one.score:.4f}, heat map {one.level:.4f}",
        picture=data_uri(image, _LONGEST_SIDE),
        heat=data_uri(shown, _LONGEST_SIDE),
    )
