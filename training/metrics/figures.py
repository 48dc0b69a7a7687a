"""The metrics themselves, one by one and all at once."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy import ndarray

from vipx.errors import InputError
from vipx.training.metrics.ranking import Ranking, area, ranked
from vipx.training.metrics.regions import AuproMode, RegionRanking, ranked_regions

PIXEL_EPSILON = 1e-8  # in the denominator of the pixel F1, as published


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

    def record(self, mode: AuproMode) -> dict[str, float | None]:
        """Give the six metrics under the names that `vipx metrics` and results use."""
        return {
            "image_auroc": self.image_auroc,
            "image_ap": self.image_ap,
            "image_f1": self.image_f1_max,
            "pixel_auroc": self.pixel_auroc,
            "pixel_f1": self.pixel_f1_max,
            "aupro": self.aupro if mode == "official" else self.aupro_exact,
        }


@dataclass(frozen=True, slots=True)
class Measurement:
    """One class of images, ranked; None where it lacks one kind of images or pixels."""

    images: Ranking | None
    regions: RegionRanking | None

    def metrics(self) -> Metrics:
        """Compute all metrics."""
        images, regions = self.images, self.regions
        pixels = None if regions is None else regions.pixels
        return Metrics(
            image_auroc=_auroc(images),
            image_ap=_average_precision(images),
            image_f1_max=_best_f1(images, 0.0),
            pixel_auroc=_auroc(pixels),
            pixel_f1_max=_best_f1(pixels, PIXEL_EPSILON),
            aupro=None if regions is None else regions.aupro("official"),
            aupro_exact=None if regions is None else regions.aupro("exact"),
        )


def measurement(
    labels: Shaped[ndarray, "images"] | None,
    scores: Shaped[ndarray, "images"] | None,
    masks: Shaped[ndarray, "masked height width"] | None,
    maps: Shaped[ndarray, "masked height width"] | None,
) -> Measurement:
    """Rank images and pixels; labels and masks count as anomalous where they are not 0.

    Args:
        labels: One for each image, or None to leave the images out.
        scores: One for each image; higher is more anomalous.
        masks: Of the images whose pixel truth is known, or None to leave the pixels out.
        maps: Of the same images.

    Raises:
        InputError: Arrays that belong together differ in shape, or a value is not finite.
    """
    images = None if labels is None or scores is None else _ranked(labels, scores)
    if masks is None or maps is None:
        return Measurement(images, None)
    return Measurement(images, ranked_regions(_anomalous(masks, maps), maps))


def measured(
    labels: Shaped[ndarray, "images"],
    scores: Float[ndarray, "images"],
    masks: Shaped[ndarray, "images height width"],
    maps: Float[ndarray, "images height width"],
) -> Metrics:
    """Compute all metrics of one class; labels and masks count as anomalous where they are not 0."""
    return measurement(labels, scores, masks, maps).metrics()


def image_auroc(
    labels: Shaped[ndarray, "images"], scores: Float[ndarray, "images"]
) -> float | None:
    """Give the area under the ROC curve of image scores."""
    return _auroc(_ranked(labels, scores))


def image_ap(labels: Shaped[ndarray, "images"], scores: Float[ndarray, "images"]) -> float | None:
    """Give the average precision of image scores: the sum of precision times gain in recall."""
    return _average_precision(_ranked(labels, scores))


def image_f1_max(
    labels: Shaped[ndarray, "images"], scores: Float[ndarray, "images"]
) -> float | None:
    """Give the best F1 over all thresholds on image scores."""
    return _best_f1(_ranked(labels, scores), 0.0)


def pixel_auroc(
    masks: Shaped[ndarray, "images height width"], maps: Float[ndarray, "images height width"]
) -> float | None:
    """Give the area under the ROC curve of all pixels of all images."""
    return _auroc(_ranked(masks, maps))


def pixel_f1_max(
    masks: Shaped[ndarray, "images height width"], maps: Float[ndarray, "images height width"]
) -> float | None:
    """Give the best F1 over all thresholds on pixels; 1e-8 in the denominator, as published."""
    return _best_f1(_ranked(masks, maps), PIXEL_EPSILON)


def pixel_f1_threshold(
    masks: Shaped[ndarray, "images height width"], maps: Float[ndarray, "images height width"]
) -> float | None:
    """Give the lowest threshold that reaches the best pixel F1; pixels at or above it are anomalous."""
    ranking = _ranked(masks, maps)
    if ranking is None:
        return None
    f1 = _f1(ranking, PIXEL_EPSILON)
    return float(ranking.thresholds[np.flatnonzero(f1 == f1.max())[-1]])


def aupro(
    masks: Shaped[ndarray, "images height width"],
    maps: Float[ndarray, "images height width"],
    *,
    mode: AuproMode = "official",
) -> float | None:
    """Give the area under the per-region overlap, up to a false positive rate of 0.3, in [0, 1].

    Regions are the 8-connected parts of all masks, each of the same weight. `official` takes 200 evenly
    spaced thresholds and stretches the rates below the limit to [0, 1]; `exact` takes every threshold,
    interpolates at the limit and divides by it.
    """
    regions = ranked_regions(_anomalous(masks, maps), maps)
    return None if regions is None else regions.aupro(mode)


def _anomalous(
    labels: Shaped[ndarray, "*shape"], values: Shaped[ndarray, "*other"]
) -> Bool[ndarray, "*shape"]:
    if labels.shape != values.shape:
        raise InputError(
            f"metrics: labels {labels.shape} and values {values.shape} differ in shape"
        )
    return labels if labels.dtype == np.bool_ else labels != 0


def _ranked(labels: Shaped[ndarray, "*shape"], values: Shaped[ndarray, "*other"]) -> Ranking | None:
    return ranked(_anomalous(labels, values), values)


def _auroc(ranking: Ranking | None) -> float | None:
    return None if ranking is None else area(ranking.roc())


def _average_precision(ranking: Ranking | None) -> float | None:
    if ranking is None:
        return None
    return float(np.sum(np.diff(ranking.recall(), prepend=0.0) * ranking.precision()))


def _best_f1(ranking: Ranking | None, epsilon: float) -> float | None:
    return None if ranking is None else float(_f1(ranking, epsilon).max())


def _f1(ranking: Ranking, epsilon: float) -> Float[ndarray, "thresholds"]:
    precision, recall = ranking.precision(), ranking.recall()
    return 2 * precision * recall / (precision + recall + epsilon)
