"""Chooses the magnitude that 127 stands for, from what was seen."""

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from vipx.errors import GateError
from vipx.ranges.histogram import Histogram
from vipx.ranges.records import InputRange, Rule
from vipx.ranges.smoothing import Smoothing

LEVELS = 127
MARGIN = 1.1  # for what other pictures bring: clipping costs more than coarser steps do
_SHARE = 0.9999  # of the values, for the percentile
_CANDIDATES = 128


def input_range(smoothing: Smoothing, histogram: Histogram, rule: Rule) -> InputRange:
    """Record one input, from the magnitudes that it has once it is smoothed.

    Raises:
        GateError: Nothing but zeros was seen.
    """
    return InputRange(
        limit=limit_of(histogram, rule),
        smoothing=tuple(smoothing.divisors.tolist()),
        shift=None if smoothing.shift is None else tuple(smoothing.shift.tolist()),
    )


def limit_of(histogram: Histogram, rule: Rule) -> float:
    """Choose a limit.

    `max` leaves a tenth of margin, `percentile` clips one value in ten thousand, and `mse` what makes the mean
    squared error of rounding and clipping least.

    Raises:
        GateError: Nothing but zeros was seen.
    """
    if histogram.largest == 0.0:
        raise GateError("calibration: an input of a linear layer was always zero; no range fits it")
    if rule == "max":
        return MARGIN * histogram.largest
    if rule == "percentile":
        return _percentile(histogram)
    return _least_error(histogram)


def _percentile(histogram: Histogram) -> float:
    reached = histogram.counts.cumsum() >= _SHARE * histogram.counts.sum()
    bin_ = int(reached.argmax())
    return min(histogram.largest, (bin_ + 1) * histogram.top / len(histogram.counts))


def _least_error(histogram: Histogram) -> float:
    bins = len(histogram.counts)
    centres = (np.arange(bins) + 0.5) * histogram.top / bins
    limits = np.arange(1, _CANDIDATES + 1) / _CANDIDATES * histogram.largest  # (candidates,)
    errors = [_error(centres, histogram.counts, limit) for limit in limits]
    return float(limits[np.argmin(errors)])


def _error(
    centres: Float64[ndarray, "bins"], counts: Float64[ndarray, "bins"], limit: float
) -> float:
    step = limit / LEVELS
    rounded = np.minimum(np.round(centres / step), LEVELS) * step
    return float((counts * (centres - rounded) ** 2).sum())
