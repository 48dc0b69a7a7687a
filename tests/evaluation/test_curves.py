"""Curves are thinned without a visible change, and show what the metrics measure."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipx.evaluation.curves import curves_of, thinned
from vipx.training.metrics import Curve, measurement
from vipx.training.metrics.ranking import area


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1000), size=st.integers(2, 3000), most=st.integers(2, 300))
def test_a_thinned_curve_keeps_its_ends_and_its_course(seed: int, size: int, most: int) -> None:
    steps = np.random.default_rng(seed).exponential(size=(2, size))
    x, y = np.cumsum(steps, axis=1)
    curve = Curve(x / x[-1], y / y[-1])
    thin = thinned(curve, most)
    assert thin.x.size <= most
    assert (thin.x[0], thin.y[0], thin.x[-1], thin.y[-1]) == (
        curve.x[0],
        curve.y[0],
        curve.x[-1],
        curve.y[-1],
    )
    assert (np.diff(thin.x) >= 0).all()
    longest = (np.abs(np.diff(curve.x)) + np.abs(np.diff(curve.y))).max()
    expected = np.interp(curve.x, thin.x, thin.y)
    assert np.abs(expected - curve.y).max() <= 2 / (most - 1) + 2 * longest


def test_the_area_below_the_drawn_curves_is_the_metric() -> None:
    generator = np.random.default_rng(0)
    labels = generator.random(60) < 0.4
    scores = generator.normal(labels, 1.0)
    masks = generator.random((3, 9, 8)) < 0.2
    maps = generator.normal(masks, 2.0)
    measured = measurement(labels, scores, masks, maps)
    curves, figures = curves_of(measured, labels, scores), measured.metrics()
    assert curves.image_roc
    assert curves.image_pr
    assert curves.pixel_roc
    assert curves.pro
    assert area(curves.image_roc) == pytest.approx(figures.image_auroc)
    assert area(curves.image_pr) == pytest.approx(figures.image_ap)
    assert area(curves.pixel_roc) == pytest.approx(figures.pixel_auroc, abs=0.005)
    assert figures.aupro_exact is not None
    assert curves.pro.x[-1] == 0.3
    assert area(curves.pro, limit=0.3) == pytest.approx(0.3 * figures.aupro_exact, abs=0.002)


def test_every_image_is_in_the_histogram_once_and_one_class_draws_no_curve() -> None:
    labels, scores = np.array([True, True, True]), np.array([0.5, 0.5, 0.5])
    curves = curves_of(measurement(labels, scores, None, None), labels, scores)
    assert curves.histogram.anomalous.sum() == 3
    assert curves.histogram.good.sum() == 0
    assert curves.image_roc is curves.image_pr is curves.pixel_roc is curves.pro is None
