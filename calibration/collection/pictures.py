"""What limits are chosen from: the numbers of pictures that do not repeat one another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from vipx.calibration.collection.measurement import Measurement
from vipx.calibration.thresholds.duplicates import Groups, highest_of, near_duplicates


@dataclass(frozen=True, slots=True)
class Pictures:
    """Numbers of pictures, in the order of the groups.

    Attributes:
        score: Of each picture.
        level: What the minimal defect area reaches on its heat map.
    """

    score: Float64[ndarray, " pictures"]
    level: Float64[ndarray, " pictures"]

    @classmethod
    def of_good(cls, images: Sequence[Measurement], groups: Groups) -> "Pictures":
        """Take images that repeat one another as one picture, by their highest numbers."""
        score, level = (highest_of(_column(images, name), groups) for name in ("score", "level"))
        return cls(score, level)

    @classmethod
    def of_defects(cls, images: Sequence[Measurement]) -> "Pictures":
        """Take defects that repeat one another as one picture, by their lowest numbers: found if all are."""
        groups = near_duplicates(np.stack([one.feature for one in images]))
        score, level = (-highest_of(-_column(images, name), groups) for name in ("score", "level"))
        return cls(score, level)

    @property
    def count(self) -> int:
        """How many there are."""
        return self.score.size

    def where(self, chosen: Bool[ndarray, " pictures"]) -> "Pictures":
        """Give some of them."""
        return Pictures(self.score[chosen], self.level[chosen])


def _column(images: Sequence[Measurement], name: str) -> Float64[ndarray, " images"]:
    return np.array([getattr(one, name) for one in images], dtype=np.float64)
