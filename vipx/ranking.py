"""How well a score puts good and defective images in order."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from vipx.errors import UsageError


def auroc(good: Float[ndarray, " good"], defective: Float[ndarray, " defective"]) -> float:
    """Give the share of pairs in which the defective image scores above the good one; ties count half.

    It is the area under the ROC curve (Hanley & McNeil 1982), found by sorting.

    Raises:
        UsageError: One kind is missing, so that there is no pair; or a score is not a number.
    """
    if not good.size or not defective.size:
        raise UsageError("AUROC: expected scores of good and of defective images")
    if np.isnan(good).any() or np.isnan(defective).any():
        raise UsageError("AUROC: expected numbers; leave out what could not be scored")
    ordered = np.sort(good)
    # Twice the number of good scores below each defective one, and once that of its equals.
    twice = sum(np.searchsorted(ordered, defective, side).sum() for side in ("left", "right"))
    return float(twice / 2 / good.size / defective.size)
