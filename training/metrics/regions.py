"""AUPRO: how much of each defect is found, whatever its size."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy import ndarray
from scipy.ndimage import label

from vipx.training.metrics.ranking import Curve, Ranking, area, ranked

__all__ = ["FPR_LIMIT", "AuproMode", "RegionRanking", "ranked_regions", "region_weights"]

AuproMode = Literal["official", "exact"]

FPR_LIMIT = 0.3
STEPS = 200
EIGHT_CONNECTED = np.ones((3, 3), np.int8)


def region_weights(
    anomalous: Bool[ndarray, "images height width"],
) -> Float[ndarray, "anomalous"]:
    """Give each anomalous pixel, in the array's order, 1 / (size of its region x number of regions).

    Regions are the 8-connected parts of each mask, and all weigh the same; the sum over all pixels is 1.
    """
    weights, regions = [], 0
    for mask in anomalous:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if rows.size:
            part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            numbered, count = label(part, EIGHT_CONNECTED)
            inside = numbered[part]
            weights.append(1.0 / np.bincount(inside, minlength=count + 1)[inside])
            regions += count
    return np.concatenate(weights) / regions if regions else np.zeros(0)


@dataclass(frozen=True, slots=True)
class RegionRanking:
    """All pixels of a class, ranked, and what each anomalous one weighs (see `region_weights`)."""

    pixels: Ranking
    weights: Float[ndarray, "anomalous"]

    def overlap(self) -> Curve:
        """Draw the mean share of a region that is found over the false positive rate."""
        found = np.cumsum(self.weights[self.pixels.order])[self.pixels.ends]
        return self.pixels.gained(found / found[-1])

    def aupro(self, mode: AuproMode) -> float | None:
        """Give the area under the overlap, up to a false positive rate of 0.3, in [0, 1].

        Args:
            mode: `official` takes 200 evenly spaced thresholds and stretches the rates below the limit
                to [0, 1], as published; `exact` takes every threshold, interpolates at the limit and
                divides by it.
        """
        if mode == "exact":
            return min(area(self.overlap(), limit=FPR_LIMIT) / FPR_LIMIT, 1.0)
        return _official_aupro(self.pixels, self.weights)


def ranked_regions(
    anomalous: Bool[ndarray, "images height width"],
    maps: Shaped[ndarray, "images height width"],
) -> RegionRanking | None:
    """Rank the pixels of a class; None where there are no anomalous or no normal ones.

    Raises:
        InputError: A value is NaN or infinite.
    """
    pixels = ranked(anomalous, maps, steps=STEPS)
    return None if pixels is None else RegionRanking(pixels, region_weights(anomalous))


def _official_aupro(ranking: Ranking, weights: Float[ndarray, "anomalous"]) -> float | None:
    rate = ranking.above_steps / ranking.normal
    below = np.concatenate([[0.0], np.cumsum(weights[ranking.order[::-1]])])
    overlap = 1 - below[np.searchsorted(ranking.anomalous[::-1], ranking.steps, side="right")]
    kept = rate < FPR_LIMIT
    rate, overlap = rate[kept][::-1], overlap[kept][::-1]
    if rate.size < 2 or rate[-1] == rate[0]:
        return None
    return area(Curve((rate - rate[0]) / (rate[-1] - rate[0]), overlap))
