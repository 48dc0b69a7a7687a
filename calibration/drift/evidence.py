"""Two tests of one question: do these images come from where the calibration's came from?"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy import ndarray
from scipy import stats

_BATCH = 250
_ENOUGH = 10
_RESOLUTION = 2
_SEED = 20261121


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """How the scores of some images differ from the calibration's.

    Attributes:
        statistic: Kolmogorov-Smirnov's: the largest difference of the two cumulative distributions.
        p_value: How often images of the same distribution differ as much; exact.
        median: Of these images.
        calibrated: Median of the calibration's.
    """

    statistic: float
    p_value: float
    median: float
    calibrated: float


@dataclass(frozen=True, slots=True)
class FeatureChange:
    """How the features of some images differ from the calibration's.

    Attributes:
        distance: Between the two mean features.
        expected: Its median where the images are dealt out at random.
        p_value: How often images dealt out at random are as far apart.
    """

    distance: float
    expected: float
    p_value: float


def score_change(
    reference: Float64[ndarray, " kept"], scores: Float64[ndarray, " images"]
) -> ScoreChange:
    """Compare scores by the two-sample Kolmogorov-Smirnov test, in both directions.

    Its null is exact for continuous scores, and too careful where scores are equal (Hodges 1958).
    """
    found = stats.ks_2samp(reference, scores, method="auto")
    return ScoreChange(
        statistic=float(found.statistic),
        p_value=float(found.pvalue),
        median=float(np.median(scores)),
        calibrated=float(np.median(reference)),
    )


def feature_change(
    reference: Float32[ndarray, "kept dim"], features: Float32[ndarray, "images dim"], level: float
) -> FeatureChange:
    """Compare features by the distance of their means against all ways to deal the images out.

    The null is resampled without replacement: a permutation test, whose error rate is exact however few
    images there are and however many dimensions. A bootstrap from so few images would repeat them, and put
    their means nearer to one another than new ones are. Sampling ends at the tenth more extreme deal
    (Besag & Clifford 1991), or when the p-value is known finely enough for `level`. The seed is fixed.
    """
    pooled = np.concatenate([reference, features]).astype(np.float64)
    pooled = pooled - pooled.mean(axis=0)
    gram = pooled @ pooled.T
    first = np.arange(len(pooled)) < len(reference)
    observed = float(_squared(first[None], gram)[0])
    generator = np.random.default_rng(_SEED)
    most = math.ceil(_RESOLUTION / level)
    null: list[Float64[ndarray, " dealt"]] = []
    extreme = drawn = 0
    while drawn < most and extreme < _ENOUGH:
        dealt = generator.permuted(np.tile(first, (_BATCH, 1)), axis=1)
        null.append(_squared(dealt, gram))
        drawn += _BATCH
        extreme += int(_at_least(null[-1], observed).sum())
    distances = np.concatenate(null)
    return FeatureChange(
        distance=math.sqrt(max(observed, 0.0)),
        expected=math.sqrt(max(float(np.median(distances)), 0.0)),
        p_value=_p_value(_at_least(distances, observed)),
    )


def _squared(
    first: Bool[ndarray, "dealt pooled"], gram: Float64[ndarray, "pooled pooled"]
) -> Float64[ndarray, " dealt"]:
    """Give the squared distance of the two means for each way to deal the images out."""
    count = first[0].sum()
    weights = np.where(first, 1 / count, -1 / (first.shape[1] - count))
    return ((weights @ gram) * weights).sum(axis=1)


def _at_least(distances: Float64[ndarray, " dealt"], observed: float) -> Bool[ndarray, " dealt"]:
    # The observed deal itself, drawn again, must count although its sum is rounded otherwise.
    return distances >= observed * (1 - 1e-9) - 1e-15


def _p_value(extreme: Bool[ndarray, " dealt"]) -> float:
    found = np.flatnonzero(extreme)
    if found.size >= _ENOUGH:
        return _ENOUGH / (int(found[_ENOUGH - 1]) + 1)
    return (1 + found.size) / (1 + extreme.size)
