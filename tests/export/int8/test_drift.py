"""The drift gate, and where an INT8 export takes its pictures from."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tiny import noise_images, tiny_detector
from vipx.bundle import read_bundle
from vipx.errors import GateError, InputError, UsageError
from vipx.export import ExportOptions, Int8Request, bundle_from_detector
from vipx.export.int8.drift import Answers, drift_record
from vipx.export.int8.request import plan_of
from vipx.ranges import read_ranges

LABELS = [False] * 20 + [True] * 20


def answers(noise: float = 0.0, seed: int = 1) -> Answers:
    """Forty pictures, the later half anomalous, with some noise on scores and maps."""
    truth = np.random.default_rng(0)
    scores = truth.uniform(0, 0.5, 40) + 0.5 * np.array(LABELS)
    maps = truth.uniform(0, 1, (40, 4, 6))
    other = np.random.default_rng(seed)
    return Answers(
        scores + noise * other.normal(size=40), maps + noise * other.normal(size=maps.shape)
    )


def test_equal_answers_have_no_drift() -> None:
    record = drift_record(answers(), answers(), LABELS)
    assert record.map_correlation == pytest.approx(1)
    assert record.score_mean == record.score_most == 0
    assert record.auroc_fp32 == record.auroc_int8 == 1
    assert (record.images, record.anomalous) == (40, 20)


def test_small_noise_passes_and_is_told() -> None:
    record = drift_record(answers(), answers(0.005), LABELS)
    assert 0.99 < record.map_correlation < 1
    assert 0 < record.score_mean < 0.01
    assert record.score_mean < record.score_most


def test_maps_that_do_not_correlate_are_refused() -> None:
    first = answers()
    with pytest.raises(GateError, match="correlation"):
        drift_record(first, Answers(first.scores, first.maps[::-1]), LABELS)


def test_scores_that_move_are_refused() -> None:
    first = answers()
    with pytest.raises(GateError, match="scores differ"):
        drift_record(first, Answers(first.scores + 0.02, first.maps), LABELS)


def test_lost_auroc_is_refused_and_gained_auroc_is_not() -> None:
    first = answers()
    # All scores close to one another, so that the order changes while the values hardly do.
    close = Answers(0.5 + first.scores / 1000, first.maps)
    turned = Answers(0.5 + (1 - first.scores) / 1000, first.maps)
    with pytest.raises(GateError, match="AUROC falls"):
        drift_record(close, turned, LABELS)
    assert drift_record(turned, close, LABELS).auroc_int8 == 1


def test_without_labels_no_auroc_is_told() -> None:
    record = drift_record(answers(), answers(), [None] * 40)
    assert record.auroc_fp32 is None
    assert record.anomalous is None
    assert drift_record(answers(), answers(), [True] * 40).auroc_fp32 is None


def test_an_answer_that_is_not_a_number_is_refused() -> None:
    first = answers()
    with pytest.raises(GateError):
        drift_record(first, Answers(first.scores * np.nan, first.maps), LABELS)
    with pytest.raises(GateError):
        drift_record(first, Answers(first.scores, first.maps * np.nan), LABELS)


def test_one_picture_in_four_is_held_out_with_its_label(pictures: Path) -> None:
    plan = plan_of(Int8Request(pictures))
    assert len(plan.watched) == 12
    assert len(plan.held_out) == 4
    assert not set(plan.watched) & set(plan.held_out)
    assert set(plan.anomalous) == {True, False}


def test_masks_are_no_pictures_and_the_mvtec_layout_has_labels(tmp_path: Path) -> None:
    image = Image.fromarray(noise_images(1)[0])
    for place in ("test/good", "test/crack", "ground_truth/crack"):
        (tmp_path / place).mkdir(parents=True)
        for number in range(8):
            image.save(tmp_path / place / f"{number}.png")
    plan = plan_of(Int8Request(tmp_path))
    paths = [*plan.watched, *plan.held_out]
    assert len(paths) == 16
    assert not any("ground_truth" in path.parts for path in paths)
    assert plan.anomalous == tuple("crack" in path.parts for path in plan.held_out)


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    Image.fromarray(noise_images(1)[0]).save(tmp_path / "one.png")
    with pytest.raises(InputError, match="holds 1 pictures"):
        plan_of(Int8Request(tmp_path))


def test_int8_needs_to_see_the_product() -> None:
    with pytest.raises(UsageError, match="--calibration FOLDER"):
        Int8Request()
    with pytest.raises(UsageError, match="--precision int8"):
        ExportOptions(("int8",))


def test_pictures_without_int8_are_refused(pictures: Path) -> None:
    with pytest.raises(UsageError, match="--precision int8"):
        ExportOptions(("fp32",), int8=Int8Request(pictures))


@pytest.mark.slow
def test_ranges_come_with_the_bundle_and_give_the_same_encoder(
    tmp_path: Path, int8_bundle: Path
) -> None:
    path = tmp_path / "again.vipx"
    options = ExportOptions(("int8",), int8=Int8Request(ranges=int8_bundle / "ranges.json"))
    manifest = bundle_from_detector(tiny_detector(), path, goldens=noise_images(3), options=options)
    for name in ("encoder.int8.onnx", "encoder.int8.onnxruntime.onnx", "ranges.json"):
        assert manifest.files[name] == read_bundle(int8_bundle).manifest.files[name]
    assert manifest.drift is None
    assert read_ranges(path / "ranges.json").images == 12


@pytest.mark.slow
def test_manifest_and_card_tell_the_drift(int8_bundle: Path) -> None:
    manifest = read_bundle(int8_bundle).manifest
    assert manifest.drift is not None
    assert manifest.drift.images == 4
    (parity,) = (p for p in manifest.parity if p.precision == "int8")
    assert {(d.output, d.bound) for d in parity.differences if d.run == "chain"} == {
        ("score", 2e-2),
        ("anomaly_map", 1e-2),
    }
    card = (int8_bundle / "README.md").read_text()
    assert "INT8 against float32 on 4 pictures" in card


@pytest.mark.slow
def test_a_bundle_with_much_drift_is_not_written(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vipx.export.int8.drift.CORRELATION", 1.1)
    options = ExportOptions(("int8",), int8=Int8Request(pictures))
    with pytest.raises(GateError, match="drift gate"):
        bundle_from_detector(
            tiny_detector(), tmp_path / "x.vipx", goldens=noise_images(2), options=options
        )
    assert list(tmp_path.iterdir()) == []
