"""Counted shares come with exact intervals, and no image proves nothing."""

import pytest
from scipy import stats

from vipx.calibration.thresholds.shares import clopper_pearson, share_of


def test_exact_intervals_are_those_of_the_tables() -> None:
    assert clopper_pearson(0, 40) == pytest.approx((0, 1 - 0.025 ** (1 / 40)))
    assert clopper_pearson(40, 40) == pytest.approx((0.025 ** (1 / 40), 1))
    assert clopper_pearson(4, 20) == pytest.approx((0.0573, 0.4366), abs=1e-4)


def test_a_share_states_its_interval_and_confidence() -> None:
    share = share_of(3, 4)
    assert (share.count, share.images, share.value, share.confidence) == (3, 4, 0.75, 0.95)
    assert share.upper == pytest.approx(stats.beta(4, 1).ppf(0.975))
    assert share.lower == pytest.approx(stats.beta(3, 2).ppf(0.025))
    wide = share_of(3, 4, 0.99)
    assert wide.lower < share.lower < share.upper < wide.upper
    assert share.text == "3 of 4 = 75.0 % (19.4 to 99.4 %)"


def test_no_image_leaves_everything_open() -> None:
    nothing = share_of(0, 0)
    assert nothing.value is None
    assert (nothing.lower, nothing.upper) == (0, 1)
    assert nothing.text == "0 of 0"
