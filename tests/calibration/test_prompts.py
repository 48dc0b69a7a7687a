"""Folding the prompts on one image gives that image's own output, and no prompts graph is loaded any more."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.golden_case import AVAILABLE, COMMITTED, GoldenCase
from tests.tiny import noise_images
from vipx.bundle import read_bundle
from vipx.calibration import prompts
from vipx.calibration.collection.collect import Collector, Reading, good_images
from vipx.calibration.collection.measurement import Measurement
from vipx.calibration.prompts import fold_record, folded_texts
from vipx.demo import DEMO_BUNDLE
from vipx.errors import GateError, UsageError
from vipx.export import ExportOptions, bundle_from_detector
from vipx.images import read_image
from vipx.runtime import Inspector
from vipx.runtime.engines import onnxruntime
from vipx.runtime.engines.engine import EngineOptions
from vipx.training.data.procedural import draw_part

ONE = EngineOptions(engine="onnxruntime", threads=1)
BOUND = 1e-6


def check_single_images(case: GoldenCase, bundle_path: Path, folder: Path) -> None:
    bundle = read_bundle(bundle_path)
    for number, path in enumerate(case.image_paths()):
        one = folder / str(number)
        one.mkdir()
        Image.fromarray(read_image(path)).save(one / "a.png")
        with Inspector.open(bundle_path, options=ONE) as exact:
            found = Collector.of(exact, Reading()).collect(good_images(one), lambda _: None)
            expected = exact.inspect(one / "a.png")
        folded = folded_texts(bundle, found)
        with Inspector.open(bundle_path, options=ONE, texts=folded.texts) as inspector:
            result = inspector.inspect(one / "a.png")
        assert abs(result.score - expected.score) <= BOUND
        assert np.abs(result.anomaly_map - expected.anomaly_map).max() <= BOUND


def test_folding_on_a_single_image_is_exact(golden_bundle: Path, tmp_path: Path) -> None:
    check_single_images(COMMITTED, golden_bundle, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a", "b"])
def test_folding_on_a_single_image_is_exact_for_the_published_cases(
    name: str, tmp_path: Path
) -> None:
    if name not in AVAILABLE:
        pytest.skip("shared/golden is not here")
    case = AVAILABLE[name]
    goldens = list(case.pixels(case.image_paths()).numpy())
    path = tmp_path / "case.vipx"
    bundle_from_detector(case.detector(), path, goldens=goldens, options=ExportOptions())
    check_single_images(case, path, tmp_path)


def measured(bundle: Path, folder: Path) -> tuple[Measurement, ...]:
    with Inspector.open(bundle, options=ONE) as inspector:
        return Collector.of(inspector, Reading()).collect(good_images(folder), lambda _: None)


def drawn(folder: Path, category: str, count: int) -> Path:
    folder.mkdir(exist_ok=True)
    for seed in range(count):
        part = draw_part(category, seed, height=160, width=160, defect=None)
        Image.fromarray(part.image).save(folder / f"{category}{seed}.png")
    return folder


def test_no_prompts_graph_is_loaded_and_the_change_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = drawn(tmp_path / "knit", "knit", 4)
    exact = measured(DEMO_BUNDLE, folder)
    bundle = read_bundle(DEMO_BUNDLE)
    folded = folded_texts(bundle, exact)
    loaded: list[str] = []
    real = onnxruntime.open_session

    def noted(graph: Path, *rest: object) -> object:
        loaded.append(graph.name)
        return real(graph, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(onnxruntime, "open_session", noted)
    with Inspector.open(DEMO_BUNDLE, options=ONE, texts=folded.texts) as inspector:
        after = Collector.of(inspector, Reading(), texts=folded.texts).collect(
            good_images(folder), lambda _: None
        )
        maps = [inspector.inspect(folder / one.name).anomaly_map for one in exact]
    assert loaded == ["encoder.onnx", "heads.onnx"]
    record = fold_record(folded, bundle, exact, after)
    largest = max(abs(a.score - b.score) for a, b in zip(exact, after, strict=True))
    assert record.score_difference == largest
    assert record.milliseconds > 0
    assert record.graph_bytes == (DEMO_BUNDLE / "prompts.onnx").stat().st_size
    with Inspector.open(DEMO_BUNDLE, options=ONE) as inspector:
        own = [inspector.inspect(folder / one.name).anomaly_map for one in exact]
    actual = max(float(np.abs(a - b).max()) for a, b in zip(own, maps, strict=True))
    assert record.map_difference == pytest.approx(actual, abs=5e-6)


def test_images_that_are_too_different_are_refused_by_name(
    golden_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, pixels in enumerate([*noise_images(3, 32, 32), np.zeros((32, 32, 3), np.uint8)]):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    bundle, good = read_bundle(golden_bundle), measured(golden_bundle, tmp_path)
    cosines = folded_texts(bundle, good).cosines
    assert cosines.argmin() == 3, "the black picture is the farthest"
    assert (cosines <= 1 + 1e-6).all()
    # The test's random weights turn texts little, so the bound is moved to where the farthest exceeds it.
    between = float(np.sort(cosines)[:2].mean())
    monkeypatch.setattr(prompts, "SMALLEST_COSINE", between)
    with pytest.raises(GateError, match=r"too different to share one pair of texts: 3\.png"):
        folded_texts(bundle, good)


def test_texts_that_are_constant_cannot_be_folded(tmp_path: Path) -> None:
    bundle = read_bundle(DEMO_BUNDLE)
    graphs = bundle.manifest.graphs.model_copy(
        update={"prompts": None, "text_embeddings": "text_embeddings.npy"}
    )
    manifest = bundle.manifest.model_copy(update={"graphs": graphs})
    constant = type(bundle)(bundle.path, manifest, bundle.identity)
    with pytest.raises(UsageError, match="nothing to fold"):
        folded_texts(constant, measured(DEMO_BUNDLE, drawn(tmp_path / "k", "knit", 1)))
