"""A quantile beyond what the images reach: excesses over a high score, and how sure one can be of them.

Excesses over a high level u are close to generalised Pareto, and the quantile that a share p of all scores lies
beyond is (Coles 2001, Statistical Modeling of Extreme Values, 4.3.3, with z = P(S > u))

    q = u + scale / shape ((p / z)^(-shape) - 1)

Its interval is by profile likelihood over shape and z. Plain profile likelihood and plain bootstrap cover too
seldom here (docs/thresholds.md): few excesses show a shape that is too low, and real distributions are Pareto
only in the limit. Three things are therefore added, and measured.

- The upper end is of the likelihood times a penalty on the shape, normal with mean 0.1 and deviation 0.2, in
  the manner of Martins & Stedinger (2000): few images do not prove that a tail is short.
- The lower end is of the likelihood alone, or of the penalised one where that is lower.
- Both ends lie where the signed root of the deviance is 1.25 times the normal quantile.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from scipy import stats

from vipx.calibration.thresholds.pareto import log_likelihood, quantile_factor

FEWEST_IMAGES = 40
FEWEST_EXPECTED = 0.2  # false alarms among as many images as there are: 1 in 1,000 from 200
WIDENING = 1.25
PENALTY_MEAN, PENALTY_DEVIATION = 0.1, 0.2

_SHAPES = np.arange(-0.9, 1.0, 0.025) + 0.0125  # none is 0
_LOG_SCALES = np.arange(-2.6, 1.9, 0.04)  # of the scale over the mean excess
_DEVIATIONS = np.linspace(-2.4, 2.4, 5)
_QUANTILES = 100
_IMPOSSIBLE = -1e12


@dataclass(frozen=True, slots=True)
class Tail:
    """The largest scores.

    Attributes:
        level: Score that the others exceed.
        excesses: By how much; all above 0.
        images: Scores in all.
    """

    level: float
    excesses: Float64[ndarray, " excesses"]
    images: int

    @property
    def share(self) -> float:
        """Share of the scores that are above the level."""
        return self.excesses.size / self.images


@dataclass(frozen=True, slots=True)
class Ends:
    """Where the quantile lies, each end with the confidence asked for."""

    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Surface:
    """The likelihood of the excesses over a grid of shapes and scales, which serves every rate."""

    tail: Tail
    unit: float
    values: Float64[ndarray, "shapes scales"]


def smallest_tail_rate(images: int) -> float | None:
    """Give the smallest rate that a fitted tail of so many images was shown to support; None with too few."""
    return None if images < FEWEST_IMAGES else FEWEST_EXPECTED / images


def tail_images_needed(rate: float) -> int:
    """Give the number of images from which a fitted tail supports the rate."""
    return max(FEWEST_IMAGES, math.ceil(FEWEST_EXPECTED / rate * (1 - 1e-12)))


def tail_of(ordered: Float64[ndarray, " images"]) -> Tail:
    """Cut the tail from sorted scores: a quarter of 200, a larger share of fewer and a smaller of more.

    Beyond 200 images it grows with their root, since the model's error would not shrink with a constant share.
    Scores equal to the level are no excesses.
    """
    images = ordered.size
    exceeding = min(0.4 * images, max(20, 0.25 * images), 50 * math.sqrt(images / 200))
    level = ordered[images - round(exceeding) - 1]
    excesses = ordered[ordered > level] - level
    return Tail(level=float(level), excesses=excesses, images=images)


def surface_of(tail: Tail) -> Surface:
    """Compute the likelihood of a tail over the grid."""
    unit = float(tail.excesses.mean())
    shapes, scales = np.meshgrid(_SHAPES, np.exp(_LOG_SCALES), indexing="ij")
    values = log_likelihood(shapes, scales, tail.excesses / unit)
    return Surface(tail, unit, np.maximum(values, _IMPOSSIBLE))


def quantile_ends(surface: Surface, rate: float, confidence: float) -> Ends:
    """Bound the score that a share `rate` of good images lies beyond."""
    cut = WIDENING * float(stats.norm.ppf(confidence))
    excesses = _tried_quantiles(rate / surface.tail.share)
    likelihood = _likelihood_of(surface, rate, excesses)  # (quantiles, shapes)
    penalty = -0.5 * ((_SHAPES - PENALTY_MEAN) / PENALTY_DEVIATION) ** 2
    plain = _crossings(excesses, likelihood.max(axis=1), cut)
    penalised = _crossings(excesses, (likelihood + penalty).max(axis=1), cut)
    level, unit = surface.tail.level, surface.unit
    lower = min(plain.lower, penalised.lower)
    return Ends(lower=level + unit * lower, upper=level + unit * penalised.upper)


def _tried_quantiles(exceeded: float) -> Float64[ndarray, " quantiles"]:
    """Space quantiles of the excesses evenly by their logarithm, in units of the mean excess."""
    longest = quantile_factor(np.array([exceeded]), np.array([0.95]))
    return np.geomspace(-0.1 * math.log(exceeded), 2 * float(longest[0]), _QUANTILES)


def _likelihood_of(
    surface: Surface, rate: float, excesses: Float64[ndarray, " quantiles"]
) -> Float64[ndarray, "quantiles shapes"]:
    """Give the likelihood of each quantile and shape, at its best share of exceeding scores."""
    shares, of_share = _shares(surface.tail)
    factor = quantile_factor(*np.broadcast_arrays(rate / shares, _SHAPES[:, None]))
    place = np.log(excesses)[:, None, None] - np.log(factor) - _LOG_SCALES[0]
    place = place / (_LOG_SCALES[1] - _LOG_SCALES[0])  # (quantiles, shapes, shares)
    left = np.clip(place.astype(np.int64), 0, _LOG_SCALES.size - 2)
    weight = place - left
    rows = np.arange(_SHAPES.size)[:, None]
    values = (1 - weight) * surface.values[rows, left] + weight * surface.values[rows, left + 1]
    outside = (weight < 0) | (weight > 1)
    return (np.where(outside, _IMPOSSIBLE, values) + of_share).max(axis=2)


def _shares(tail: Tail) -> tuple[Float64[ndarray, " shares"], Float64[ndarray, " shares"]]:
    """Give plausible shares of scores above the level, and their log-likelihood beside the observed one."""
    k, n = tail.excesses.size, tail.images
    deviation = math.sqrt((1 - tail.share) / k)
    shares = np.minimum(tail.share * np.exp(deviation * _DEVIATIONS), 0.95)
    others = np.log1p(-shares) - math.log1p(-tail.share)
    return shares, k * np.log(shares / tail.share) + (n - k) * others


def _crossings(
    excesses: Float64[ndarray, " quantiles"],
    likelihood: Float64[ndarray, " quantiles"],
    cut: float,
) -> Ends:
    """Find where the root of the deviance passes the cut, below and above the most likely quantile."""
    root = np.sqrt(2 * (likelihood.max() - likelihood))
    peak = int(likelihood.argmax())
    logs = np.log(excesses)
    # An end beyond the grid would be told as its edge: 0.1 and 2 times what is plausible at all.
    below = np.interp(cut, np.maximum.accumulate(root[: peak + 1][::-1]), logs[: peak + 1][::-1])
    above = np.interp(cut, np.maximum.accumulate(root[peak:]), logs[peak:])
    return Ends(lower=float(np.exp(below)), upper=float(np.exp(above)))
