"""From the extremes of each channel to what it is shifted and divided by before it is rounded."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from vipx.ranges.records import SHIFTED

# What attention mixes has no channels that always outlie; other pictures bring others (docs/int8.md).
_ALPHA_OUTPUT = 0.5


@dataclass(slots=True)
class Extremes:
    """The smallest and the largest value of every channel; NaN where one was."""

    low: Float32[ndarray, "channels"]
    high: Float32[ndarray, "channels"]

    @classmethod
    def of(cls, rows: Float32[ndarray, "rows channels"]) -> "Extremes":
        """Find them among rows."""
        return cls(rows.min(axis=0), rows.max(axis=0))

    def widen(self, other: "Extremes") -> None:
        """Take others in."""
        self.low = np.minimum(self.low, other.low)
        self.high = np.maximum(self.high, other.high)


@dataclass(frozen=True, slots=True)
class Smoothing:
    """What happens to one input of linear layers before it is rounded.

    Attributes:
        divisors: Of each channel.
        shift: What is taken from each channel before the division; None where nothing may be.
    """

    divisors: Float32[ndarray, "channels"]
    shift: Float32[ndarray, "channels"] | None

    def __call__(
        self, rows: Float32[ndarray, "rows channels"]
    ) -> Float32[ndarray, "rows channels"]:
        """Smooth rows."""
        return (rows if self.shift is None else rows - self.shift) / self.divisors


def smoothing_from_extremes(
    part: str, extremes: Extremes, weights: Float32[ndarray, "channels"], alpha: float
) -> Smoothing:
    """Choose shift and divisors of an input.

    Args:
        part: Its last name, one of `PARTS`.
        extremes: Of its channels.
        weights: Largest magnitude of the weights that read each channel.
        alpha: Of `RangeChoice`.
    """
    low, high = extremes.low, extremes.high
    shift = shift_of(low, high) if part in SHIFTED else np.zeros_like(low)
    most = np.maximum(high - shift, shift - low)
    share = min(alpha, _ALPHA_OUTPUT) if part == "output" else alpha
    divisors = smoothing_of(most, weights, share)
    return Smoothing(divisors, shift if part in SHIFTED else None)


def shift_of(
    low: Float32[ndarray, "channels"], high: Float32[ndarray, "channels"]
) -> Float32[ndarray, "channels"]:
    """Give the middle of each channel's extremes, around which the integers are then symmetric."""
    return (low / 2 + high / 2).astype(np.float32)


def smoothing_of(
    inputs: Float32[ndarray, "channels"], weights: Float32[ndarray, "channels"], alpha: float
) -> Float32[ndarray, "channels"]:
    """Divide outlying channels down, and the weights behind them up (SmoothQuant, arXiv 2211.10438, formula 4).

    Args:
        inputs: Largest magnitude of each input channel.
        weights: Largest magnitude of the weights that read it.
        alpha: 0 leaves the activations as they are, 1 makes all channels equal.

    Returns:
        Divisors with geometric mean 1; 1 for a channel that was never seen to be anything but zero.
    """
    seen = (inputs > 0) & (weights > 0)
    scales = np.ones(len(inputs))
    wide = inputs[seen].astype(np.float64)
    scales[seen] = wide**alpha / weights[seen].astype(np.float64) ** (1 - alpha)
    if seen.any():
        scales[seen] /= np.exp(np.log(scales[seen]).mean())
    return scales.astype(np.float32)
