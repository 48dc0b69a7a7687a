"""The generalised Pareto distribution of excesses: its likelihood, its fit, and whether it fits.

    P(Y > y) = (1 + shape y / scale)^(-1/shape)     (Pickands 1975; Hosking & Wallis 1987, eq. 1, shape = -k)

The fit follows Grimshaw (1993): with theta = shape / scale the likelihood's maximum over the shape is at
shape(theta) = mean log(1 + theta y), which leaves one number to search.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

SMALLEST_SHAPE = -0.5  # below, the likelihood is irregular (Smith 1985), and below -1 unbounded
LARGEST_SHAPE = 1.0  # from here on, the mean is infinite
_SIMULATED = 99
_SEED = 20261121
# log(1 + theta max y); never 0, where theta is 0 and the formula has no value.
_COARSE = np.arange(-6.0, 11.0, 0.5) + 0.06
_REFINED = (0.5, 0.05, 0.005)


@dataclass(frozen=True, slots=True)
class Pareto:
    """Fits of several samples, one in each place."""

    shape: Float64[ndarray, " samples"]
    scale: Float64[ndarray, " samples"]


@dataclass(frozen=True, slots=True)
class Goodness:
    """Anderson-Darling's statistic of a fit, and how often data from the fit itself would exceed it."""

    statistic: float
    p_value: float


def log_likelihood(
    shape: Float64[ndarray, "*grid"],
    scale: Float64[ndarray, "*grid"],
    excesses: Float64[ndarray, " excesses"],
) -> Float64[ndarray, "*grid"]:
    """Give the log-likelihood at each pair of parameters; -inf where an excess is impossible. No shape is 0."""
    inside = (shape / scale)[..., None] * excesses  # (*grid, excesses)
    possible = (inside > -1).all(-1)
    logs = np.log1p(np.maximum(inside, -1 + 1e-12)).sum(-1)
    value = -excesses.size * np.log(scale) - (1 + 1 / shape) * logs
    return np.where(possible, value, -np.inf)


def quantile_factor(
    exceeded: Float64[ndarray, "*grid"], shape: Float64[ndarray, "*grid"]
) -> Float64[ndarray, "*grid"]:
    """Give the quantile of excesses that the share `exceeded` of them lies beyond, in units of the scale."""
    return np.expm1(-shape * np.log(exceeded)) / shape


def fit(excesses: Float64[ndarray, "samples excesses"]) -> Pareto:
    """Fit every row by maximum likelihood; a shape outside [-0.5, 1] becomes the nearest limit."""
    most = excesses.max(axis=1, keepdims=True)
    coarse = np.broadcast_to(_COARSE, (len(excesses), _COARSE.size))
    place = _best(coarse, excesses, most)
    for width in _REFINED:
        place = _best(place[:, None] + np.linspace(-width, width, 15), excesses, most)
    theta = np.expm1(place) / most[:, 0]
    shape = np.log1p(theta[:, None] * excesses).mean(axis=1)
    return Pareto(shape=shape, scale=shape / theta)


def _best(
    tried: Float64[ndarray, "samples tried"],
    excesses: Float64[ndarray, "samples excesses"],
    most: Float64[ndarray, "samples 1"],
) -> Float64[ndarray, " samples"]:
    """Pick of log(1 + theta max y) the most likely; an allowed shape comes before any other."""
    tried = np.where(np.abs(tried) < 1e-3, 1e-3, tried)
    theta = np.expm1(tried) / most  # (samples, tried)
    shape = np.log1p(theta[..., None] * excesses[:, None, :]).mean(axis=-1)
    likelihood = -np.log(shape / theta) - shape - 1
    beyond = np.maximum(SMALLEST_SHAPE - shape, 0) + np.maximum(shape - LARGEST_SHAPE, 0)
    picked = np.where(beyond > 0, -1e6 * (1 + beyond), likelihood).argmax(axis=1)
    return tried[np.arange(len(tried)), picked]


def goodness(excesses: Float64[ndarray, " excesses"], fitted: Pareto) -> Goodness:
    """Test one fit by Anderson-Darling against 99 simulated samples, each fitted anew.

    Fitting moves the statistic's distribution (Choulakian & Stephens 2001); simulation meets that for every
    sample size and shape. The seed is fixed: same excesses, same answer.
    """
    shape = float(fitted.shape[0])
    uniform = np.random.default_rng(_SEED).random((_SIMULATED, excesses.size))
    simulated = quantile_factor(1 - uniform, np.full_like(uniform, shape))
    null = anderson_darling(simulated, fit(simulated))
    statistic = float(anderson_darling(excesses[None], fitted)[0])
    p_value = (1 + int((null >= statistic).sum())) / (1 + _SIMULATED)
    return Goodness(statistic=statistic, p_value=p_value)


def anderson_darling(
    excesses: Float64[ndarray, "samples excesses"], fitted: Pareto
) -> Float64[ndarray, " samples"]:
    """Give A^2 of each row and its fit: -n - mean of (2 i - 1) (log F(y_i) + log(1 - F(y_(n+1-i))))."""
    ordered = np.sort(excesses, axis=1)
    shape, scale = fitted.shape[:, None], fitted.scale[:, None]
    log_survival = -np.log1p(np.maximum(shape * ordered / scale, -1 + 1e-12)) / shape
    log_survival = np.minimum(log_survival, -1e-15)
    log_below = np.log(-np.expm1(log_survival))
    weights = 2 * np.arange(1, ordered.shape[1] + 1) - 1
    return -ordered.shape[1] - (weights * (log_below + log_survival[:, ::-1])).mean(axis=1)
