"""Ranges from a bundle in an engine are those that export's PyTorch layers give on the same pictures."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray
from onnx import numpy_helper

from tests.calibration.ranges.files import turned, without_float32, written
from tests.golden_case import AVAILABLE, COMMITTED
from tests.test_bundle import reseal
from tests.tiny import NO_HASH, noise_images, tiny_backbone, tiny_detector
from tests.training.tokenclip.tiny_tokenclip import tiny_tokenclip
from vipx.calibration.ranges import collect
from vipx.calibration.ranges.collect import collect_ranges, grouped
from vipx.calibration.ranges.linears import LinearInput
from vipx.calibration.ranges.request import RangesRequest
from vipx.errors import GateError, InputError, UsageError
from vipx.export import Detector, ExportOptions, bundle_from_detector
from vipx.export.detector import records
from vipx.export.encoder import Encoder
from vipx.export.int8.collection import collect_ranges as exported_ranges
from vipx.export.int8.request import Pictures
from vipx.images import list_images, resize_image
from vipx.manifest import CheckpointRecord
from vipx.onnx_graph import Constant
from vipx.ranges import RangeChoice, Ranges, Rule, encoder_identity, input_names
from vipx.runtime.engines.engine import EngineName, EngineOptions, Model
from vipx.runtime.engines.probes.choice import open_probe
from vipx.runtime.engines.probes.probe import Probe, Probed

ENGINES: tuple[EngineName, ...] = ("onnxruntime", "openvino")
# Of each number; what a shift is off by is measured by the largest shift of its input.
BOUND = 1e-4


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("noise"), noise_images(9, seed=3))


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pixels = COMMITTED.pixels(COMMITTED.image_paths()).numpy()
    return written(tmp_path_factory.mktemp("committed"), turned(list(pixels)))


def asked(bundle: Path, good: Path, engine: EngineName = "onnxruntime", **more: object) -> Ranges:
    options = EngineOptions(engine=engine, device="cpu", threads=1)
    request = RangesRequest(bundle, good, good.parent / "r.json", options=options, **more)  # type: ignore[arg-type]
    return collect_ranges(request, lambda _: None)


def by_pytorch(detector: Detector, folder: Path, rule: Rule = "max") -> Ranges:
    vision = detector.backbone.vision.options
    paths = tuple(image.path for image in list_images([folder]).images)
    _, backbone, size = records(detector)
    return exported_ranges(
        Encoder(detector.backbone),
        Pictures(paths, vision.height, vision.width),
        encoder_identity(backbone, size),
        RangeChoice(rule),
    )


def check_same(found: Ranges, expected: Ranges, limits: float = BOUND) -> None:
    assert found.model_dump(exclude={"inputs"}) == expected.model_dump(exclude={"inputs"})
    assert tuple(found.inputs) == tuple(expected.inputs)
    for name, one in found.inputs.items():
        other = expected.inputs[name]
        assert one.limit == pytest.approx(other.limit, rel=limits)
        np.testing.assert_allclose(one.smoothing, other.smoothing, rtol=BOUND)
        assert (one.shift is None) == (other.shift is None)
        if one.shift is not None and other.shift is not None:
            bound = BOUND * np.abs(other.shift).max()
            np.testing.assert_allclose(one.shift, other.shift, rtol=0, atol=bound)


@pytest.mark.parametrize("engine", ENGINES)
def test_ranges_are_those_of_export(engine: EngineName, tiny_bundle: Path, noise: Path) -> None:
    check_same(asked(tiny_bundle, noise, engine), by_pytorch(tiny_detector(), noise))


@pytest.mark.parametrize("engine", ENGINES)
def test_ranges_are_those_of_export_for_the_committed_case(
    engine: EngineName, golden_bundle: Path, committed: Path
) -> None:
    check_same(asked(golden_bundle, committed, engine), by_pytorch(COMMITTED.detector(), committed))


# A bin more or less, and a candidate: rounding moves what lies on an edge.
@pytest.mark.parametrize(("rule", "bound"), [("percentile", 2e-3), ("mse", 2 / 128)])
def test_the_other_rules_give_the_same_too(
    rule: Rule, bound: float, tiny_bundle: Path, noise: Path
) -> None:
    found = asked(tiny_bundle, noise, choice=RangeChoice(rule))
    check_same(found, by_pytorch(tiny_detector(), noise, rule), bound)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["a", "b"])
def test_ranges_are_those_of_export_for_the_published_cases(
    name: str, engine: EngineName, published_bundle: object, tmp_path: Path
) -> None:
    if name not in AVAILABLE:
        pytest.skip("shared/golden is not here")
    assert callable(published_bundle)
    case = AVAILABLE[name]
    folder = written(tmp_path, turned(list(case.pixels(case.image_paths()).numpy())))
    check_same(asked(published_bundle(name), folder, engine), by_pytorch(case.detector(), folder))


@pytest.mark.parametrize("camera", [None, pytest.param((33, 47), marks=pytest.mark.slow)])
def test_ranges_are_those_of_export_for_another_method_and_behind_a_camera(
    camera: tuple[int, int] | None, tmp_path: Path
) -> None:
    backbone = tiny_backbone()
    method = tiny_tokenclip(backbone, image_score="global+map", iterations=3)
    detector = Detector(backbone, method, CheckpointRecord(sha256=NO_HASH, format="vipx"))
    height, width = camera or (24, 40)
    goldens = noise_images(2, height, width)
    options = ExportOptions(camera=camera)
    bundle_from_detector(detector, tmp_path / "t.vipx", goldens=goldens, options=options)
    for folder in ("frames", "resized"):
        (tmp_path / folder).mkdir()
    frames = noise_images(8, height, width, seed=4)
    written(tmp_path / "frames", frames)
    resized = written(
        tmp_path / "resized", [resize_image(frame, height=24, width=40) for frame in frames]
    )
    expected = by_pytorch(detector, resized)
    check_same(asked(tmp_path / "t.vipx", tmp_path / "frames"), expected)
    if camera is not None:
        with pytest.raises(InputError, match="camera of 47x33 px"):
            asked(tmp_path / "t.vipx", resized)


def test_a_smaller_budget_gives_the_same_ranges_and_is_kept(
    tiny_bundle: Path, noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every input of every picture is fetched once a pass; no more is held at a time than is allowed."""
    most, opened = 20_000, list[int]()
    fetched: list[tuple[int, str]] = []

    class Counting:
        def __init__(self, probe: Probe) -> None:
            self.probe = probe

        def run(self, image: ndarray) -> Iterator[Probed]:
            together = 0
            for probed in self.probe.run(image):
                together += probed.values.nbytes
                fetched.append((hash(image.tobytes()), probed.tensor))
                yield probed
            assert together <= most

        def close(self) -> None:
            self.probe.close()
            opened[-1] = 0

    def counted(model: Model, tensors: Sequence[str], options: EngineOptions) -> Counting:
        assert not any(opened)
        opened.append(1)
        return Counting(open_probe(model, tensors, options))

    whole = asked(tiny_bundle, noise)
    monkeypatch.setattr(collect, "open_probe", counted)
    found = asked(tiny_bundle, noise, fetched_bytes=most)
    check_same(found, whole)
    assert len(opened) > 1
    assert not any(opened)
    assert len(fetched) == 2 * 9 * len(input_names(2))
    assert {fetched.count(each) for each in fetched} == {2}


@settings(max_examples=50, deadline=None)
@given(
    channels=st.lists(st.integers(1, 4096), max_size=40),
    tokens=st.integers(1, 2000),
    most=st.integers(1, 2**26),
)
def test_inputs_are_cut_into_runs_under_the_budget(
    channels: list[int], tokens: int, most: int
) -> None:
    inputs = [
        LinearInput(f"blocks.{place}.up", str(place), (Constant("w", (count, 1), 1, Path(), 0),))
        for place, count in enumerate(channels)
    ]
    groups = list(grouped(inputs, tokens, most))
    assert [each for group in groups for each in group] == inputs
    for group in groups:
        assert len(group) == 1 or sum(4 * tokens * each.channels for each in group) <= most


def test_at_most_64_pictures_are_watched_and_some_may_be_left_out(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    folder = written(tmp_path, noise_images(70, 6, 10))
    steps: list[str] = []
    request = RangesRequest(tiny_bundle, folder, tmp_path / "r.json", left_out=("00.png",))
    assert collect_ranges(request, steps.append).images == 64
    assert not any("00.png" in step for step in steps)
    assert steps[0] == "extremes, blocks.0.attention to blocks.1.down: 1 of 64: 01.png"
    assert steps[-1] == "limits, blocks.0.attention to blocks.1.down: 64 of 64: 68.png"


def test_too_few_pictures_are_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds 7 pictures"):
        asked(tiny_bundle, written(tmp_path, noise_images(7)))


def test_a_bundle_without_a_float32_encoder_is_refused(
    tiny_bundle: Path, noise: Path, tmp_path: Path
) -> None:
    path = without_float32(tiny_bundle, tmp_path / "half.vipx")
    with pytest.raises(UsageError, match=r"has no fp32 encoder \(it has: fp16\)"):
        asked(path, noise)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_by_picture_and_place(
    value: float, engine: EngineName, tiny_bundle: Path, noise: Path, tmp_path: Path
) -> None:
    path = changed(tiny_bundle, tmp_path / "broken.vipx", "blocks.1.up.bias", value)
    with pytest.raises(
        GateError, match=r"00\.png: gives values that are not finite in blocks\.1\.down"
    ):
        asked(path, noise, engine)


def test_an_input_that_is_always_zero_is_refused(
    tiny_bundle: Path, noise: Path, tmp_path: Path
) -> None:
    path = changed(tiny_bundle, tmp_path / "dead.vipx", "blocks.1.up.bias", -1e30)
    with pytest.raises(GateError, match="always zero"):
        asked(path, noise)


def changed(bundle: Path, path: Path, constant: str, value: float) -> Path:
    """Copy a bundle with one constant of its float32 encoder replaced, sealed anew."""
    shutil.copytree(bundle, path)
    graph = onnx.load(path / "encoder.onnx")
    found = next(each for each in graph.graph.initializer if each.name == constant)
    array = np.full(tuple(found.dims), value, np.float32)
    found.CopyFrom(numpy_helper.from_array(array, constant))
    onnx.save(graph, path / "encoder.onnx")
    reseal(path)
    return path
