"""The generalised Pareto distribution, beside scipy's and beside data drawn from it."""

import numpy as np
import pytest
from scipy import stats

from vipx.calibration.thresholds.pareto import (
    LARGEST_SHAPE,
    SMALLEST_SHAPE,
    Pareto,
    anderson_darling,
    fit,
    goodness,
    log_likelihood,
    quantile_factor,
)

SHAPES = [-0.4, -0.1, 0.05, 0.3, 0.8]


def drawn(shape: float, scale: float, *size: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.asarray(stats.genpareto(shape, scale=scale).rvs(size, random_state=generator))


@pytest.mark.parametrize("shape", SHAPES)
def test_likelihood_and_quantiles_are_those_of_scipy(shape: float) -> None:
    excesses, law = drawn(shape, 2.0, 40), stats.genpareto(shape, scale=2.0)
    found = log_likelihood(np.array([shape]), np.array([2.0]), excesses)[0]
    assert found == pytest.approx(law.logpdf(excesses).sum(), rel=1e-12)
    factor = quantile_factor(np.array([0.01]), np.array([shape]))
    assert 2.0 * factor[0] == pytest.approx(law.isf(0.01), rel=1e-12)


def test_an_impossible_excess_has_no_likelihood() -> None:
    found = log_likelihood(np.array([-0.5]), np.array([1.0]), np.array([0.5, 2.1]))
    assert found[0] == -np.inf


@pytest.mark.parametrize("shape", SHAPES)
def test_fit_finds_shape_and_scale(shape: float) -> None:
    fitted = fit(drawn(shape, 3.0, 1, 20_000))
    assert fitted.shape[0] == pytest.approx(shape, abs=0.03)
    assert fitted.scale[0] == pytest.approx(3.0, rel=0.04)


@pytest.mark.parametrize("shape", SHAPES[1:4])
def test_no_pair_of_parameters_is_more_likely_than_the_fit(shape: float) -> None:
    for row in drawn(shape, 1.0, 8, 100, seed=1):
        fitted = fit(row[None])
        assert SMALLEST_SHAPE < fitted.shape[0] < LARGEST_SHAPE
        shapes, scales = np.meshgrid(
            np.linspace(SMALLEST_SHAPE, LARGEST_SHAPE, 120),
            float(fitted.scale[0]) * np.geomspace(0.6, 1.6, 121),
            indexing="ij",
        )
        best = log_likelihood(shapes, scales, row).max()
        assert log_likelihood(fitted.shape, fitted.scale, row)[0] >= best - 1e-3


def test_a_shape_beyond_the_limits_becomes_the_limit() -> None:
    assert fit(drawn(-1.0, 1.0, 1, 500)).shape[0] == pytest.approx(SMALLEST_SHAPE, abs=0.01)
    assert fit(drawn(1.5, 1.0, 1, 60)).shape[0] == pytest.approx(LARGEST_SHAPE, abs=0.01)


def test_rows_are_fitted_independently_and_in_any_unit() -> None:
    rows = drawn(0.2, 1.0, 3, 60)
    together = fit(rows)
    for index in range(3):
        alone = fit(1e-3 * rows[index : index + 1])
        assert alone.shape[0] == pytest.approx(together.shape[index], abs=1e-9)
        assert alone.scale[0] == pytest.approx(1e-3 * together.scale[index], rel=1e-9)


def test_anderson_darling_follows_its_definition() -> None:
    excesses = np.sort(drawn(0.2, 1.0, 30))
    below = stats.genpareto(0.3, scale=0.9).cdf(excesses)
    terms = [(2 * i + 1) * (np.log(below[i]) + np.log(1 - below[29 - i])) for i in range(30)]
    found = anderson_darling(excesses[None], Pareto(np.array([0.3]), np.array([0.9])))
    assert found[0] == pytest.approx(-30 - sum(terms) / 30, rel=1e-9)


def test_data_of_the_model_are_rarely_said_not_to_fit() -> None:
    rows = drawn(0.1, 1.0, 60, 50, seed=2)
    poor = sum(goodness(row, fit(row[None])).p_value <= 0.05 for row in rows)
    assert poor <= 10  # 3 expected; more with probability below 1e-3


def test_two_kinds_of_parts_are_said_not_to_fit() -> None:
    generator = np.random.default_rng(3)
    rows = np.concatenate(
        [generator.exponential(0.3, (30, 30)), generator.normal(5, 0.3, (30, 20))], axis=1
    )
    poor = sum(goodness(row, fit(row[None])).p_value <= 0.05 for row in rows)
    assert poor >= 28


def test_the_same_excesses_have_the_same_goodness() -> None:
    row = drawn(0.1, 1.0, 50)
    assert goodness(row, fit(row[None])) == goodness(row, fit(row[None]))
