"""The curves of one category, thinned to what an eye can tell apart."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from vipx.training.metrics import FPR_LIMIT, Curve, Measurement, Ranking

__all__ = ["CategoryCurves", "Histogram", "curves_of", "thinned"]

POINTS_MOST = 150
BINS = 24


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many good and anomalous images have a score between neighbouring edges."""

    edges: Float[ndarray, "edges"]
    good: Float[ndarray, "bins"]
    anomalous: Float[ndarray, "bins"]


@dataclass(frozen=True, slots=True)
class CategoryCurves:
    """What a report draws of one category; None where a metric is undefined."""

    image_roc: Curve | None
    image_pr: Curve | None
    pixel_roc: Curve | None
    pixel_pr: Curve | None
    pro: Curve | None
    histogram: Histogram


def curves_of(
    measured: Measurement, labels: Bool[ndarray, "images"], scores: Float[ndarray, "images"]
) -> CategoryCurves:
    """Draw every curve that is defined."""
    images, regions = measured.images, measured.regions
    pixels = None if regions is None else regions.pixels
    return CategoryCurves(
        image_roc=None if images is None else thinned(images.roc()),
        image_pr=None if images is None else _precision_recall(images),
        pixel_roc=None if pixels is None else thinned(pixels.roc()),
        pixel_pr=None if pixels is None else _precision_recall(pixels),
        pro=None if regions is None else thinned(_up_to(regions.overlap(), FPR_LIMIT)),
        histogram=_histogram(labels, scores),
    )


def thinned(curve: Curve, most: int = POINTS_MOST) -> Curve:
    """Keep at most `most` points, spaced evenly along the way that the curve goes, ends included."""
    if curve.x.size <= most:
        return curve
    way = np.abs(np.diff(curve.x)) + np.abs(np.diff(curve.y))
    gone = np.concatenate([[0.0], np.cumsum(way)])
    kept = np.unique(np.searchsorted(gone, np.linspace(0.0, gone[-1], most)))
    kept[-1] = curve.x.size - 1
    return Curve(curve.x[kept], curve.y[kept])


def _precision_recall(ranking: Ranking) -> Curve:
    """Draw precision over recall in steps: between two thresholds the gain has the later one's precision."""
    recall = np.concatenate([[0.0], np.repeat(ranking.recall(), 2)[:-1]])
    return thinned(Curve(recall, np.repeat(ranking.precision(), 2)))


def _up_to(curve: Curve, limit: float) -> Curve:
    inside = curve.x <= limit
    at_limit = float(np.interp(limit, curve.x, curve.y))
    return Curve(np.append(curve.x[inside], limit), np.append(curve.y[inside], at_limit))


def _histogram(labels: Bool[ndarray, "images"], scores: Float[ndarray, "images"]) -> Histogram:
    low, high = float(scores.min()), float(scores.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    good, anomalous = (np.histogram(scores[kind], edges)[0] for kind in (~labels, labels))
    return Histogram(edges, good.astype(np.float64), anomalous.astype(np.float64))
