"""AUROC is the share of pairs in order, ties half, whatever the numbers are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy import ndarray

from vipx.errors import UsageError
from vipx.ranking import auroc

SCORES = arrays(
    np.float32, st.integers(1, 30), elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0])
)


@given(SCORES, SCORES)
@settings(max_examples=100)
def test_it_is_the_share_of_pairs_in_order(good: ndarray, bad: ndarray) -> None:
    pairs = bad[:, None].astype(float) - good
    expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert auroc(good, bad) == pytest.approx(expected, abs=1e-12)
    assert auroc(good, bad) + auroc(bad, good) == pytest.approx(1, abs=1e-12)


def test_a_perfect_score_and_a_constant_one() -> None:
    assert auroc(np.array([0.1, 0.2]), np.array([0.3])) == 1
    assert auroc(np.full(3, 0.5), np.full(4, 0.5)) == 0.5


def test_many_scores_need_no_table_of_pairs() -> None:
    generator = np.random.default_rng(0)
    found = auroc(generator.normal(size=200_000), generator.normal(1, size=200_000))
    assert found == pytest.approx(0.7602, abs=2e-3)  # Phi(1 / sqrt 2)


def test_what_has_no_answer_is_refused() -> None:
    for good, bad in (([], [0.1]), ([0.1], []), ([0.1, np.nan], [0.2])):
        with pytest.raises(UsageError, match="AUROC"):
            auroc(np.array(good), np.array(bad))
