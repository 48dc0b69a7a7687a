"""Counts magnitudes in memory that does not grow with their number."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

BINS = 4096
_CHUNK = 2**17  # values whose bins fit a core's cache


@dataclass(slots=True)
class Histogram:
    """Counts of magnitudes in equal bins from 0 to `top`, which doubles when something larger comes.

    Attributes:
        counts: Of each bin.
        top: Upper end of the last bin; 0 until something other than zero was seen.
        largest: Magnitude seen.
    """

    counts: Float64[ndarray, "bins"] = field(default_factory=lambda: np.zeros(BINS))
    top: float = 0.0
    largest: float = 0.0

    def add(self, values: Float32[ndarray, "*any"]) -> None:
        """Count the magnitudes of finite values."""
        flat = values.reshape(-1)
        largest = max(float(flat.max()), -float(flat.min()))
        self.largest = max(self.largest, largest)
        if self.top == 0.0:
            self.top = largest
        while largest > self.top:
            self._double()
        if self.top == 0.0:
            self.counts[0] += flat.size
            return
        for start in range(0, flat.size, _CHUNK):
            self._count(np.abs(flat[start : start + _CHUNK]))

    def _count(self, magnitudes: Float32[ndarray, "values"]) -> None:
        # Divided first: the bins' width may be too small for float32, the quotient is at most 1.
        bins = (magnitudes / np.float32(self.top) * BINS).astype(np.intp)
        np.minimum(bins, BINS - 1, out=bins)
        self.counts += np.bincount(bins, minlength=BINS)

    def _double(self) -> None:
        """Merge neighbours, so that every count stays in the bin where it belongs."""
        merged = self.counts.reshape(-1, 2).sum(axis=1)
        self.counts = np.concatenate([merged, np.zeros_like(merged)])
        self.top *= 2
