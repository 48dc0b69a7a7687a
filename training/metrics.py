"""How good scores and anomaly maps are: AUROC, average precision, best F1 and AUPRO.

Every metric sorts its values once. What a one-class set leaves undefined is None, never NaN.
The definitions are those of the published evaluation (methods/vip2clip.md 1.9).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy import ndarray
from scipy.ndimage import label

from vipx.errors import InputError

__all__ = [
    "Metrics",
    "aupro",
    "image_ap",
    "image_auroc",
    "image_f1_max",
    "measured",
    "pixel_auroc",
    "pixel_f1_max",
    "pixel_f1_threshold",
]

FPR_LIMIT = 0.3
STEPS = 200
EIGHT_CONNECTED = np.ones((3, 3), np.int8)


@dataclass(frozen=True, slots=True)
class Metrics:
    """All metrics of one class of images; None where the images leave one undefined.

    `aupro` is the published 200-step variant, `aupro_exact` takes every threshold.
    """

    image_auroc: float | None
    image_ap: float | None
    image_f1_max: float | None
    pixel_auroc: float | None
    pixel_f1_max: float | None
    aupro: float | None
    aupro_exact: float | None


@dataclass(frozen=True, slots=True)
class _Curve:
    """Counts of what lies at or above each distinct value, from the highest value down."""

    values: Float[ndarray, "thresholds"]
    false: Float[ndarray, "thresholds"]
    true: Float[ndarray, "thresholds"]


def measured(
    labels: Shaped[ndarray, "images"],
    scores: Float[ndarray, "images"],
    masks: Shaped[ndarray, "images height width"],
    maps: Float[ndarray, "images height width"],
) -> Metrics:
    """Compute all metrics of one class; labels and masks count as anomalous where they are not 0."""
    return Metrics(
        image_auroc=image_auroc(labels, scores),
        image_ap=image_ap(labels, scores),
        image_f1_max=image_f1_max(labels, scores),
        pixel_auroc=pixel_auroc(masks, maps),
        pixel_f1_max=pixel_f1_max(masks, maps),
        aupro=aupro(masks, maps, mode="official"),
        aupro_exact=aupro(masks, maps, mode="exact"),
    )


def image_auroc(
    labels: Shaped[ndarray, "images"], scores: Float[ndarray, "images"]
) -> float | None:
    """Give the area under the ROC curve of image scores."""
    curve = _curve(labels, scores)
    return None if curve is None else _auroc(curve)


def image_ap(labels: Shaped[ndarray, "images"], scores: Float[ndarray, "images"]) -> float | None:
    """Give the average precision of image scores: the sum of precision times gain in recall."""
    curve = _curve(labels, scores)
    if curve is None:
        return None
    precision, recall = _precision_recall(curve)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def image_f1_max(
    labels: Shaped[ndarray, "images"], scores: Float[ndarray, "images"]
) -> float | None:
    """Give the best F1 over all thresholds on image scores."""
    curve = _curve(labels, scores)
    return None if curve is None else float(_f1(curve, 0.0).max())


def pixel_auroc(
    masks: Shaped[ndarray, "images height width"], maps: Float[ndarray, "images height width"]
) -> float | None:
    """Give the area under the ROC curve of all pixels of all images."""
    return image_auroc(masks.ravel(), maps.ravel())


def pixel_f1_max(
    masks: Shaped[ndarray, "images height width"], maps: Float[ndarray, "images height width"]
) -> float | None:
    """Give the best F1 over all thresholds on pixels; 1e-8 in the denominator, as published."""
    curve = _curve(masks.ravel(), maps.ravel())
    return None if curve is None else float(_f1(curve, 1e-8).max())


def pixel_f1_threshold(
    masks: Shaped[ndarray, "images height width"], maps: Float[ndarray, "images height width"]
) -> float | None:
    """Give the lowest threshold that reaches the best pixel F1; pixels at or above it are anomalous."""
    curve = _curve(masks.ravel(), maps.ravel())
    if curve is None:
        return None
    f1 = _f1(curve, 1e-8)
    return float(curve.values[np.flatnonzero(f1 == f1.max())[-1]])


def aupro(
    masks: Shaped[ndarray, "images height width"],
    maps: Float[ndarray, "images height width"],
    *,
    mode: Literal["official", "exact"] = "official",
) -> float | None:
    """Give the area under the per-region overlap, up to a false positive rate of 0.3, in [0, 1].

    Regions are the 8-connected parts of all masks, each of the same weight. `official` takes 200 evenly
    spaced thresholds and stretches the rates below the limit to [0, 1]; `exact` takes every threshold,
    interpolates at the limit and divides by it.
    """
    anomalous = masks != 0
    _check(anomalous, maps)
    if not anomalous.any() or anomalous.all():
        return None
    weights = _region_weights(anomalous)[anomalous]
    if mode == "exact":
        return _exact_aupro(maps, anomalous, weights)
    return _official_aupro(maps, anomalous, weights)


def _region_weights(
    anomalous: Bool[ndarray, "images height width"],
) -> Float[ndarray, "images height width"]:
    """One over region size and number of regions: the weights of all anomalous pixels sum to 1."""
    weights = np.zeros(anomalous.shape, np.float64)
    regions = 0
    for weight, mask in zip(weights, anomalous, strict=True):
        numbered, count = label(mask, EIGHT_CONNECTED)
        sizes = np.bincount(numbered.ravel(), minlength=count + 1).astype(np.float64)
        weight[mask] = 1.0 / sizes[numbered[mask]]
        regions += count
    return weights / regions


def _exact_aupro(
    maps: Float[ndarray, "images height width"],
    anomalous: Bool[ndarray, "images height width"],
    weights: Float[ndarray, "anomalous"],
) -> float:
    gain = np.zeros(maps.shape, np.float64)
    gain[anomalous] = weights
    curve = _counted(maps.ravel(), (~anomalous).ravel().astype(np.float64), gain.ravel())
    rate = np.concatenate([[0.0], curve.false / curve.false[-1]])
    overlap = np.concatenate([[0.0], curve.true / curve.true[-1]])
    inside = rate <= FPR_LIMIT
    # At equal rates np.interp may take either end of a vertical piece; the limit is met from the left.
    last = int(np.flatnonzero(inside)[-1])
    at_limit = overlap[last]
    if rate[last] < FPR_LIMIT:
        step = (FPR_LIMIT - rate[last]) / (rate[last + 1] - rate[last])
        at_limit += step * (overlap[last + 1] - overlap[last])
    x, y = np.append(rate[inside], FPR_LIMIT), np.append(overlap[inside], at_limit)
    return _area(x, y) / FPR_LIMIT


def _official_aupro(
    maps: Float[ndarray, "images height width"],
    anomalous: Bool[ndarray, "images height width"],
    weights: Float[ndarray, "anomalous"],
) -> float | None:
    low, high = maps.min(), maps.max()
    if low == high:
        return None
    thresholds = np.arange(low, high, (high - low) / STEPS)
    normal = np.sort(maps[~anomalous])
    rate = 1 - np.searchsorted(normal, thresholds, side="right") / normal.size
    values = maps[anomalous]
    order = np.argsort(values)
    below = np.concatenate([[0.0], np.cumsum(weights[order])])
    overlap = 1 - below[np.searchsorted(values[order], thresholds, side="right")]
    kept = rate < FPR_LIMIT
    rate, overlap = rate[kept], overlap[kept]
    if rate.size < 2 or rate.max() == rate.min():
        return None
    stretched = (rate - rate.min()) / (rate.max() - rate.min())
    return _area(stretched[::-1], overlap[::-1])


def _check(labels: Shaped[ndarray, "*shape"], values: Float[ndarray, "*shape"]) -> None:
    if labels.shape != values.shape:
        raise InputError(
            f"metrics: labels {labels.shape} and values {values.shape} differ in shape"
        )
    if not np.isfinite(values).all():
        raise InputError("metrics: expected finite scores and maps, got NaN or infinity")


def _curve(labels: Shaped[ndarray, "values"], values: Float[ndarray, "values"]) -> _Curve | None:
    """Count both classes at every threshold; None where one class is missing."""
    anomalous = labels != 0
    _check(anomalous, values)
    if not anomalous.any() or anomalous.all():
        return None
    return _counted(values, (~anomalous).astype(np.float64), anomalous.astype(np.float64))


def _counted(
    values: Float[ndarray, "values"],
    false: Float[ndarray, "values"],
    true: Float[ndarray, "values"],
) -> _Curve:
    """Sum weights from the highest value down; equal values share one threshold."""
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), ranked.size - 1)
    return _Curve(ranked[ends], np.cumsum(false[order])[ends], np.cumsum(true[order])[ends])


def _auroc(curve: _Curve) -> float:
    rate = np.concatenate([[0.0], curve.false / curve.false[-1]])
    recall = np.concatenate([[0.0], curve.true / curve.true[-1]])
    return _area(rate, recall)


def _precision_recall(
    curve: _Curve,
) -> tuple[Float[ndarray, "thresholds"], Float[ndarray, "thresholds"]]:
    return curve.true / (curve.true + curve.false), curve.true / curve.true[-1]


def _f1(curve: _Curve, epsilon: float) -> Float[ndarray, "thresholds"]:
    precision, recall = _precision_recall(curve)
    total = precision + recall + epsilon
    # Above the highest anomalous value both are 0, and so is F1.
    return 2 * precision * recall / np.where(total > 0, total, 1.0)


def _area(x: Float[ndarray, "points"], y: Float[ndarray, "points"]) -> float:
    """Trapezoid rule; numpy renamed its own between the versions that vipx supports."""
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
