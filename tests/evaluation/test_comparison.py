"""Comparisons: differences of what both runs have, and ranks as scipy computes them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from tests.evaluation.fakes import Brightness, write_tree
from vipx.errors import InputError
from vipx.evaluation.comparison import compared, rank_correlation
from vipx.evaluation.evaluation import evaluate
from vipx.evaluation.report.comparison_page import comparison_page
from vipx.evaluation.results import METRICS, Results
from vipx.evaluation.sources import DataChoice, open_source
from vipx.training.metrics import AuproMode


def results(root: Path, mode: AuproMode = "official", **choice: object) -> Results:
    source = open_source(DataChoice("mvtec", root, **choice))  # type: ignore[arg-type]
    return evaluate(Brightness(), source, mode, lambda _: None).results


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("tree"))


def test_a_run_does_not_differ_from_itself(root: Path) -> None:
    run = results(root)
    same = compared(run, run)
    assert set(same.mean.model_dump().values()) == {0.0}
    assert (same.scores.most, same.scores.images, same.notes) == (0.0, 12, ())
    assert same.scores.rank_correlation == pytest.approx(1.0)
    assert "equal to the last bit" in comparison_page(same, run, run)


def test_differences_are_the_second_minus_the_first(root: Path) -> None:
    first = results(root)
    moved = [
        image.model_copy(update={"score": image.score + (0.25 if number == 3 else 0.0)})
        for number, image in enumerate(first.images)
    ]
    metrics = first.categories[0].metrics.model_copy(update={"image_auroc": 0.0})
    changed = first.categories[0].model_copy(update={"metrics": metrics})
    second = first.model_copy(
        update={"images": tuple(moved), "categories": (changed, *first.categories[1:])}
    )
    found = compared(first, second)
    was = first.categories[0].metrics.image_auroc
    assert was is not None
    assert found.categories[0].difference.image_auroc == -was
    assert found.mean.image_auroc == pytest.approx(-was / 2)
    assert found.scores.most == pytest.approx(0.25)
    assert found.scores.mean == pytest.approx(0.25 / 12)
    assert found.categories[1].scores.most == 0.0
    assert moved[3].image in comparison_page(found, first, second)


def test_only_what_both_runs_have_is_compared(root: Path) -> None:
    whole, part = results(root), results(root, categories=("nut",), limit=2)
    found = compared(whole, part)
    assert [each.category for each in found.categories] == ["nut"]
    assert (found.scores.images, found.scores.only_first, found.scores.only_second) == (2, 10, 0)
    assert found.means[0] == whole.categories[1].metrics
    assert "10 are in A alone" in found.notes[0]


def test_two_kinds_of_aupro_are_not_subtracted(root: Path) -> None:
    found = compared(results(root), results(root, "exact"))
    assert found.mean.aupro is None
    assert all(each.difference.aupro is None for each in found.categories)
    assert found.mean.pixel_auroc == 0.0
    assert any("AUPRO" in note for note in found.notes)


def test_runs_on_other_pictures_cannot_be_compared(root: Path, tmp_path: Path) -> None:
    other = write_tree(tmp_path, ("screw",))
    with pytest.raises(InputError, match="no picture in common"):
        compared(results(root), results(other))


def test_undefined_metrics_stay_undefined(root: Path) -> None:
    good = results(root, split="train")
    found = compared(good, good)
    assert set(found.mean.model_dump()) == set(METRICS)
    assert set(found.mean.model_dump().values()) == {None}


@settings(max_examples=60, deadline=None)
@given(arrays(np.int64, (2, 9), elements=st.integers(0, 4)))
def test_rank_correlation_is_spearmans_with_ties(levels: np.ndarray) -> None:
    first, second = levels.astype(np.float64)
    got = rank_correlation(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert got is None
    else:
        assert got == pytest.approx(float(spearmanr(first, second).statistic))
