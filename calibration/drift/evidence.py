"""Three tests of one question: do these images come from where the calibration's came from?"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy import ndarray
from scipy import stats

from vipx.ranking import auroc

_BATCH = 250
_ENOUGH = 10
_RESOLUTION = 8  # extreme deals to expect at the level itself
_SEED = 20261121


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """How the scores of some images differ from the calibration's.

    Attributes:
        statistic: Kolmogorov-Smirnov's: the largest difference of the two cumulative distributions.
        p_value: How often images of the same distribution differ as much; exact.
        above: Share of pairs in which one of these images scores above one of the calibration's; ties half.
        shift_p_value: How often that share is as far from one half where images are dealt out at random.
        median: Of these images.
        calibrated: Median of the calibration's.
    """

    statistic: float
    p_value: float
    above: float
    shift_p_value: float
    median: float
    calibrated: float

    @property
    def lowest(self) -> float:
        """The smaller p-value of the two tests."""
        return min(self.p_value, self.shift_p_value)


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
    reference: Float64[ndarray, " kept"], scores: Float64[ndarray, " images"], level: float
) -> ScoreChange:
    """Compare scores by their ranks: by their distribution, and by how high they are.

    Kolmogorov-Smirnov's null is exact for continuous scores, and too careful where scores are equal (Hodges
    1958). It sees any change of the distribution; a plain shift is seen earlier by the mean ranks (Wilcoxon
    1945; Mann & Whitney 1947), whose null is exact for few images, and normal for more. Where scores are equal
    that may be far off, and the null is resampled as that of the features.
    """
    found = stats.ks_2samp(reference, scores, method="auto")
    return ScoreChange(
        statistic=float(found.statistic),
        p_value=float(found.pvalue),
        above=auroc(reference, scores),
        shift_p_value=_shift_p_value(reference, scores, level),
        median=float(np.median(scores)),
        calibrated=float(np.median(reference)),
    )


def _shift_p_value(
    reference: Float64[ndarray, " kept"], scores: Float64[ndarray, " images"], level: float
) -> float:
    pooled = np.concatenate([reference, scores])
    if len(np.unique(pooled)) == len(pooled):
        return float(stats.mannwhitneyu(reference, scores, method="auto").pvalue)
    return _p_value(_dealt(stats.rankdata(pooled)[:, None], len(reference), level).extreme)


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
    dealt = _dealt(pooled, len(reference), level)
    return FeatureChange(
        distance=math.sqrt(dealt.observed),
        expected=math.sqrt(float(np.median(dealt.squared))),
        p_value=_p_value(dealt.extreme),
    )


@dataclass(frozen=True, slots=True)
class _Dealt:
    """Squared distances of two means: as observed, and for images dealt out at random."""

    observed: float
    squared: Float64[ndarray, " dealt"]

    @property
    def extreme(self) -> Bool[ndarray, " dealt"]:
        """Say which deals are at least as far apart."""
        # The observed deal itself, drawn again, must count although its sum is rounded otherwise.
        return self.squared >= self.observed * (1 - 1e-9) - 1e-15


def _dealt(pooled: Float64[ndarray, "pooled dim"], kept: int, level: float) -> _Dealt:
    """Deal images out, of which the first `kept` are the calibration's."""
    centred = pooled - pooled.mean(axis=0)
    # Coordinates in as few dimensions as there are images, with the same distances.
    places: Float64[ndarray, "pooled few"] = np.asarray(np.linalg.qr(centred.T, mode="r")).T
    first = np.arange(len(pooled)) < kept
    observed = _Dealt(float(_squared(first[None], places)[0]), np.empty(0))
    generator = np.random.default_rng(_SEED)
    drawn: list[Float64[ndarray, " dealt"]] = []
    extreme, most = 0, math.ceil(_RESOLUTION / level)
    while _BATCH * len(drawn) < most and extreme < _ENOUGH:
        dealt = generator.permuted(np.tile(first, (_BATCH, 1)), axis=1)
        drawn.append(_squared(dealt, places))
        extreme += int(np.count_nonzero(_Dealt(observed.observed, drawn[-1]).extreme))
    return _Dealt(observed.observed, np.concatenate(drawn))


def _squared(
    first: Bool[ndarray, "dealt pooled"], places: Float64[ndarray, "pooled dim"]
) -> Float64[ndarray, " dealt"]:
    """Give the squared distance of the two means for each way to deal the images out."""
    count = first[0].sum()
    weights = np.where(first, 1 / count, -1 / (first.shape[1] - count))
    return ((weights @ places) ** 2).sum(axis=1)


def _p_value(extreme: Bool[ndarray, " dealt"]) -> float:
    found = np.flatnonzero(extreme)
    if found.size >= _ENOUGH:
        return _ENOUGH / (int(found[_ENOUGH - 1]) + 1)
    return (1 + found.size) / (1 + extreme.size)
