"""The interval of a quantile beyond the data, beside a search that knows nothing of grids."""

import math

import numpy as np
import pytest
from numpy import ndarray
from scipy import optimize, stats

from vipx.calibration.thresholds import tail


def cut_of(images: int, seed: int = 0) -> tail.Tail:
    scores = np.random.default_rng(seed).lognormal(0, 0.5, images)
    return tail.tail_of(np.sort(scores))


def likelihood(cut: tail.Tail, rate: float, quantile: float, penalty: bool) -> float:
    """Search the most likely shape and share for a quantile."""

    def loss(parameters: ndarray) -> float:
        shape, share = parameters
        if not (-0.88 < shape < 0.98 and rate < share < 0.95) or abs(shape) < 1e-9:
            return 1e6
        scale = shape * quantile / math.expm1(-shape * math.log(rate / share))
        law = stats.genpareto.logpdf(cut.excesses, shape, scale=scale).sum()
        k, n = cut.excesses.size, cut.images
        count = k * math.log(share) + (n - k) * math.log1p(-share)
        drawn = 0.5 * ((shape - tail.PENALTY_MEAN) / tail.PENALTY_DEVIATION) ** 2
        return min(1e6, -law - count + penalty * drawn)

    starts = ([s, cut.share] for s in (-0.3, 0.05, 0.3, 0.6))
    found = (optimize.minimize(loss, start, method="Nelder-Mead") for start in starts)
    return -min(float(one.fun) for one in found)


@pytest.mark.parametrize(("images", "rate"), [(200, 0.001), (60, 0.01)])
def test_ends_lie_where_the_deviance_passes_the_cut(images: int, rate: float) -> None:
    cut = cut_of(images)
    ends = tail.quantile_ends(tail.surface_of(cut), rate, 0.95)
    wanted = (tail.WIDENING * float(stats.norm.ppf(0.95))) ** 2
    for end, penalty in ((ends.upper, True), (ends.lower, False)):
        best = optimize.minimize_scalar(
            lambda log: -likelihood(cut, rate, math.exp(log), penalty),  # noqa: B023
            bounds=(math.log(cut.excesses.max() / 3), math.log(9 * cut.excesses.max())),
            method="bounded",
            options={"xatol": 1e-2},
        )
        deviance = 2 * (-best.fun - likelihood(cut, rate, end - cut.level, penalty))
        # The grids of shares, shapes and scales cost up to 3 % of the root.
        assert deviance == pytest.approx(wanted, rel=0.06)


def test_more_confidence_and_smaller_rates_go_further() -> None:
    surface = tail.surface_of(cut_of(200))
    by_confidence = [tail.quantile_ends(surface, 0.002, c) for c in (0.8, 0.9, 0.95, 0.99)]
    assert np.all(np.diff([ends.upper for ends in by_confidence]) > 0)
    assert np.all(np.diff([ends.lower for ends in by_confidence]) < 0)
    by_rate = [tail.quantile_ends(surface, r, 0.95) for r in (0.02, 0.01, 0.005, 0.002, 0.001)]
    assert np.all(np.diff([ends.upper for ends in by_rate]) > 0)
    assert np.all(np.diff([ends.lower for ends in by_rate]) > 0)


def test_more_images_narrow_the_interval() -> None:
    def width(images: int) -> float:
        ends = [
            tail.quantile_ends(tail.surface_of(cut_of(images, seed)), 0.004, 0.95)
            for seed in range(8)
        ]
        return float(np.median([end.upper - end.lower for end in ends]))

    assert width(50) > width(200) > width(1000)


@pytest.mark.parametrize(
    ("images", "excesses"), [(40, 16), (50, 20), (80, 20), (100, 25), (200, 50), (800, 100)]
)
def test_the_tail_is_a_stated_share_of_the_scores(images: int, excesses: int) -> None:
    cut = cut_of(images)
    assert cut.excesses.size == excesses
    assert (cut.excesses > 0).all()
    assert cut.share == excesses / images


def test_scores_at_the_level_are_no_excesses() -> None:
    cut = tail.tail_of(np.sort(np.repeat(np.arange(20.0), 5)))
    assert cut.images == 100
    assert set(cut.level + cut.excesses) == {15.0, 16.0, 17.0, 18.0, 19.0}


def test_the_smallest_rate_and_the_images_for_it_agree() -> None:
    assert tail.smallest_tail_rate(39) is None
    assert tail.smallest_tail_rate(200) == pytest.approx(0.001)
    for images in (40, 57, 200, 1234):
        rate = tail.smallest_tail_rate(images)
        assert rate is not None
        assert tail.tail_images_needed(rate) == images
    assert tail.tail_images_needed(0.3) == 40
