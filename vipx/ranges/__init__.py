"""What the inputs of an encoder's linear layers were seen to be: the file from which INT8 takes its scales.

There are two ways to collect it, which share everything here and need not share a machine:

- `vipx export --precision int8 --calibration` watches PyTorch's layers, and leaves the file in the bundle;
- `vipx calibrate --ranges` watches the bundle's float32 encoder in an engine (`vipx.calibration.ranges`).

Both look at their pictures twice. The first pass keeps the extremes of each channel, from which
`smoothing_from_extremes` makes shifts and divisors; the second applies them and keeps a `Histogram` of each
whole tensor, from which `limit_of` takes its limit. `vipx export --precision int8 --ranges` reads either file.
"""

from vipx.ranges.histogram import BINS, Histogram
from vipx.ranges.limits import LEVELS, MARGIN, input_range, limit_of
from vipx.ranges.pictures import LEAST, MOST_WATCHED, spread
from vipx.ranges.records import (
    PARTS,
    InputRange,
    RangeChoice,
    Ranges,
    Rule,
    encoder_identity,
    input_names,
    read_ranges,
    write_ranges,
)
from vipx.ranges.smoothing import Extremes, Smoothing, smoothing_from_extremes, smoothing_of

__all__ = [
    "BINS",
    "LEAST",
    "LEVELS",
    "MARGIN",
    "MOST_WATCHED",
    "PARTS",
    "Extremes",
    "Histogram",
    "InputRange",
    "RangeChoice",
    "Ranges",
    "Rule",
    "Smoothing",
    "encoder_identity",
    "input_names",
    "input_range",
    "limit_of",
    "read_ranges",
    "smoothing_from_extremes",
    "smoothing_of",
    "spread",
    "write_ranges",
]
