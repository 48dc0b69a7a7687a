"""Evaluation: metrics as computed directly, unknown truth left out, numbers that are none refused."""

from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.fakes import HEIGHT, WIDTH, Brightness, Broken, write_tree
from vipx.errors import EngineError, InputError
from vipx.evaluation.evaluation import Evaluation, evaluate
from vipx.evaluation.sources import DataChoice, open_source
from vipx.training import metrics


def quiet(_: str) -> None:
    """Take no notice of progress."""


def evaluated(root: Path, **choice: object) -> Evaluation:
    source = open_source(DataChoice("mvtec", root, **choice))  # type: ignore[arg-type]
    return evaluate(Brightness(), source, "exact", quiet)


def test_metrics_are_those_of_all_scores_and_maps_of_a_category(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    found = evaluated(root)
    cases = open_source(DataChoice("mvtec", root)).by_category()
    for record in found.results.categories:
        loaded = [case.load(HEIGHT, WIDTH) for case in cases[record.category]]
        answers = [Brightness().predict(each.image) for each in loaded]
        masks = [each.mask for each in loaded if each.mask is not None]
        expected = metrics.measured(
            np.array([each.label for each in loaded]),
            np.array([answer.score for answer in answers]),
            np.stack(masks),
            np.stack([answer.anomaly_map for answer in answers]),
        )
        assert record.metrics.model_dump() == expected.record("exact")
        assert (record.good, record.anomalous, record.masked) == (3, 3, 6)


def test_the_mean_is_over_categories_where_a_metric_is_defined(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    for path in (root / "nut/test/good").iterdir():
        path.unlink()
    results = evaluated(root).results
    bolt, nut = results.categories
    assert nut.metrics.image_auroc is None
    assert nut.metrics.pixel_auroc is not None
    assert results.mean.metrics.image_auroc == bolt.metrics.image_auroc
    assert results.mean.defined.image_auroc == 1
    assert results.mean.defined.pixel_auroc == 2
    pixel = (bolt.metrics.pixel_auroc or 0.0) + nut.metrics.pixel_auroc
    assert results.mean.metrics.pixel_auroc == pytest.approx(pixel / 2)


def test_a_picture_without_its_mask_counts_for_image_metrics_alone(tmp_path: Path) -> None:
    root = write_tree(tmp_path, ("bolt",))
    whole = evaluated(root).results.categories[0]
    (root / "bolt/ground_truth/scratch/000_mask.png").unlink()
    part = evaluated(root).results.categories[0]
    assert (part.anomalous, part.masked) == (3, 5)
    assert part.metrics.image_auroc == whole.metrics.image_auroc
    assert part.metrics.pixel_auroc != whole.metrics.pixel_auroc
    for path in (root / "bolt/ground_truth/scratch").iterdir():
        path.unlink()
    none = evaluated(root).results.categories[0]
    assert none.metrics.pixel_auroc is none.metrics.pixel_f1 is none.metrics.aupro is None
    assert none.metrics.image_auroc == whole.metrics.image_auroc


def test_the_worst_and_the_best_pictures_are_shown(tmp_path: Path) -> None:
    evaluation = evaluated(write_tree(tmp_path, ("bolt",)))
    scores = {image.image: image.score for image in evaluation.results.images}
    bad = {name: score for name, score in scores.items() if "scratch" in name}
    good = {name: score for name, score in scores.items() if "good" in name}
    shown = {plate.role: plate for plate in evaluation.views[0].plates}
    assert shown["most missed"].name == min(bad, key=bad.__getitem__)
    assert shown["best found"].name == max(bad, key=bad.__getitem__)
    assert shown["worst false alarm"].name == max(good, key=good.__getitem__)
    assert shown["quietest good"].name == min(good, key=good.__getitem__)
    assert shown["best found"].truth is not None
    assert shown["quietest good"].truth is None


def test_a_picture_that_is_best_and_worst_is_shown_once(tmp_path: Path) -> None:
    evaluation = evaluated(write_tree(tmp_path, ("bolt",), each=1))
    assert [plate.role for plate in evaluation.views[0].plates] == [
        "most missed",
        "worst false alarm",
    ]


def test_a_score_that_is_no_number_names_the_picture(tmp_path: Path) -> None:
    source = open_source(DataChoice("mvtec", write_tree(tmp_path, ("bolt",))))
    with pytest.raises(EngineError, match=r"bolt/test/.*png"):
        evaluate(Broken(), source, "official", quiet)


def test_a_picture_that_cannot_be_read_ends_the_evaluation(tmp_path: Path) -> None:
    root = write_tree(tmp_path, ("bolt",))
    (root / "bolt/test/good/001.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"good/001\.png"):
        evaluated(root)
