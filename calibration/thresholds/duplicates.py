"""Good images that tell less than their number: near-duplicates, and ones that stand apart.

A picture that repeats another adds no information about the line, but counts as if it did, and a threshold that
rests on repeated pictures looks surer than it is.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int
from numpy import ndarray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from vipx.errors import UsageError

SIMILARITY = 0.999
OUTLIER = 8.0
_BLOCK = 512
# A normal distribution's standard deviation over its median and over its mean absolute deviation.
_MAD_OF_NORMAL = 1.4826
_MEAN_OF_NORMAL = 1.2533

Scores = Float64[ndarray, " images"]
Features = Float32[ndarray, "images dim"]


@dataclass(frozen=True, slots=True)
class Groups:
    """Pictures, put together where they are nearly equal.

    Attributes:
        group: Of each picture, counted from 0 in the order of first pictures.
        similarity: Cosine from which two pictures belong together.
    """

    group: Int[ndarray, " images"]
    similarity: float

    @property
    def effective(self) -> int:
        """Number of pictures that do not repeat one another."""
        return int(self.group.max()) + 1

    @property
    def first(self) -> tuple[int, ...]:
        """Give the index of the first picture of every group."""
        return tuple(map(int, np.unique(self.group, return_index=True)[1]))

    def members(self) -> tuple[tuple[int, ...], ...]:
        """Give the indices of every group of two pictures or more."""
        together = (np.flatnonzero(self.group == one) for one in range(self.effective))
        return tuple(tuple(map(int, members)) for members in together if members.size > 1)

    def warning(self) -> str | None:
        """Say in one sentence what repeats; None if nothing does."""
        if self.effective == self.group.size:
            return None
        return (
            f"{self.group.size} images are {self.effective} different pictures (cosine of features "
            f"from {self.similarity:g} on counts as the same); thresholds rest on those"
        )


@dataclass(frozen=True, slots=True)
class Outlier:
    """A good image that stands apart.

    Attributes:
        index: Among the images.
        score: How many robust deviations its score is above the median; 0 where it is below.
        feature: How many its distance from the other pictures is.
    """

    index: int
    score: float
    feature: float


def near_duplicates(features: Features, similarity: float = SIMILARITY) -> Groups:
    """Group pictures whose features, of unit length, have a cosine from `similarity` on.

    Groups are chains: the first and last of three pictures may be less alike than each is to the second.
    """
    _check_features(features)
    pairs = [
        np.argwhere(features[start : start + _BLOCK] @ features.T >= similarity)
        + np.array([start, 0])
        for start in range(0, len(features), _BLOCK)
    ]
    rows, columns = np.concatenate(pairs).T
    joined = csr_matrix((np.ones(rows.size), (rows, columns)), shape=(len(features),) * 2)
    labels = connected_components(joined, directed=False)[1].astype(np.int64)
    _, first = np.unique(labels, return_index=True)
    order = np.argsort(np.argsort(first))
    return Groups(group=order[labels], similarity=similarity)


def highest_of(scores: Scores, groups: Groups) -> Float64[ndarray, " groups"]:
    """Give one score for each group, its highest: a repeated picture can then not lower a threshold."""
    highest = np.full(groups.effective, -np.inf)
    np.maximum.at(highest, groups.group, scores)
    return highest


def outliers(
    scores: Scores, features: Features | None = None, limit: float = OUTLIER
) -> tuple[Outlier, ...]:
    """Find images more than `limit` robust deviations above the rest in score, or apart from it in features.

    Deviations are median absolute deviations of the half above the median, so that a skewed distribution
    is no reason to suspect its own tail. The farthest image comes first.
    """
    by_score = deviations_above(scores)
    by_feature = np.zeros_like(by_score)
    if features is not None:
        by_feature = deviations_above(distances(features))
    found = np.flatnonzero(np.maximum(by_score, by_feature) > limit)
    told = [Outlier(int(i), float(by_score[i]), float(by_feature[i])) for i in found]
    return tuple(sorted(told, key=lambda one: -max(one.score, one.feature)))


def deviations_above(numbers: Float64[ndarray, " images"]) -> Float64[ndarray, " images"]:
    """Give how many robust deviations each number is above the median; 0 for those below.

    Where half of the numbers or more are equal, the mean deviation takes the median's place (Iglewicz & Hoaglin
    1993, How to Detect and Handle Outliers, 3.3).
    """
    above = numbers - np.median(numbers)
    upper = above[above >= 0]
    scale = _MAD_OF_NORMAL * float(np.median(upper)) or _MEAN_OF_NORMAL * float(upper.mean())
    rounding = 1e-6 * max(float(np.abs(numbers).max()), 1e-6)
    return np.maximum(above, 0) / max(scale, rounding)


def distances(features: Features) -> Float64[ndarray, " images"]:
    """Give each image's distance, 1 - cosine, from the mean direction of all the others."""
    _check_features(features)
    whole = features.astype(np.float64)
    others = whole.sum(axis=0) - whole
    lengths = np.linalg.norm(others, axis=1)
    return 1 - (whole * others).sum(axis=1) / np.maximum(lengths, 1e-12)


def _check_features(features: Features) -> None:
    lengths = np.linalg.norm(features, axis=1)
    unit: Bool[ndarray, " images"] = np.abs(lengths - 1) < 1e-2
    if not len(features) or not unit.all():
        raise UsageError("features: expected vectors of unit length, one for each image")
