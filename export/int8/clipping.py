"""Chooses the magnitude that 127 stands for, from what was seen."""

import torch
from jaxtyping import Float64
from torch import Tensor

from vipx.errors import GateError
from vipx.export.int8.observation import Histogram
from vipx.ranges import Rule

LEVELS = 127
_SHARE = 0.9999  # of the values, for the percentile
_MARGIN = 1.1  # for what other pictures bring: clipping costs more than coarser steps do
_CANDIDATES = 128


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
        return _MARGIN * histogram.largest
    if rule == "percentile":
        return _percentile(histogram)
    return _least_error(histogram)


def _percentile(histogram: Histogram) -> float:
    reached = histogram.counts.cumsum(0) >= _SHARE * histogram.counts.sum()
    bin_ = int(reached.nonzero()[0])
    return min(histogram.largest, (bin_ + 1) * histogram.top / len(histogram.counts))


def _least_error(histogram: Histogram) -> float:
    bins = len(histogram.counts)
    centres = (torch.arange(bins, dtype=torch.float64) + 0.5) * histogram.top / bins
    shares = torch.arange(1, _CANDIDATES + 1, dtype=torch.float64) / _CANDIDATES
    limits = shares * histogram.largest  # (candidates,)
    errors = torch.stack([_error(centres, histogram.counts, limit) for limit in limits])
    return float(limits[errors.argmin()])


def _error(
    centres: Float64[Tensor, "bins"], counts: Float64[Tensor, "bins"], limit: Float64[Tensor, ""]
) -> Float64[Tensor, ""]:
    step = limit / LEVELS
    rounded = (centres / step).round().clamp(max=LEVELS) * step
    return (counts * (centres - rounded) ** 2).sum()
