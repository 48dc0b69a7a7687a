"""How far two arrays are apart, in the statistics by which graphs and engines are judged."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from vipx.manifest import Statistic


def measure(
    expected: Float[ndarray, "..."], actual: Float[ndarray, "..."], statistic: Statistic
) -> float:
    """Reduce the absolute difference to one number; not finite where an input is not."""
    difference = np.abs(expected.astype(np.float64) - actual)
    if statistic == "max":
        return float(np.max(difference))
    if statistic == "mean":
        return float(np.mean(difference))
    return float(np.quantile(difference, 0.999))
