"""The resize in the graph is Pillow's, bit for bit: in PyTorch, ONNX Runtime and OpenVINO."""

from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray

from benchmarks import camera_resize as camera_resize_benchmark
from tests.tiny import noise_images, tiny_detector
from vipx.bundle import read_bundle
from vipx.commands.export import export, frames
from vipx.errors import GateError, InputError, UsageError
from vipx.export import ExportOptions, bundle_from_detector
from vipx.export.encoder import Encoder
from vipx.export.folds import camera
from vipx.export.folds.camera import CameraFold, CameraResize, axis_weights, camera_resize
from vipx.export.onnx_file import GraphInterface, write_graph
from vipx.images import resize_image
from vipx.runtime.bench import BenchOptions, Limits, measure
from vipx.runtime.engines.engine import EngineName, EngineOptions
from vipx.runtime.goldens import check_goldens
from vipx.runtime.inspector import Inspector

# Height and width of the camera, then of the model.
SIZES = [
    ((48, 80), (24, 40)), ((49, 83), (24, 40)), ((24, 40), (24, 40)), ((24, 41), (24, 40)),
    ((12, 20), (24, 40)), ((7, 9), (24, 40)), ((1, 1), (24, 40)), ((2, 3), (37, 53)),
    ((97, 101), (56, 56)), ((101, 97), (56, 56)), ((300, 17), (56, 70)), ((17, 300), (70, 56)),
    ((480, 640), (70, 70)), ((640, 480), (70, 70)), ((241, 319), (98, 112)), ((37, 53), (98, 112)),
    ((112, 98), (98, 112)), ((600, 800), (224, 224)), ((333, 1), (28, 28)), ((511, 257), (518, 518)),
]  # fmt: skip
CAMERA = (61, 83)
SIZE = (24, 40)


def frames_of(height: int, width: int, count: int = 1, seed: int = 0) -> list[ndarray]:
    """Noise and hard edges: what overshoots most, and what rounds most often."""
    frames = noise_images(count, height, width, seed)
    for frame in frames:
        frame[: height // 2] = 255 * (frame[: height // 2] > 127)
    return frames


def in_graph(frame: ndarray, size: tuple[int, int]) -> ndarray:
    resize = camera_resize((frame.shape[0], frame.shape[1]), size)
    planes = torch.from_numpy(frame).float().permute(2, 0, 1)[None]
    return resize(planes)[0].permute(1, 2, 0).numpy()


def levels_apart(actual: ndarray, expected: ndarray) -> float:
    return float(np.abs(actual - expected.astype(np.float64)).max())


def test_twenty_sizes_are_twenty() -> None:
    assert len(set(SIZES)) == 20


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_every_value_is_pillows(before: tuple[int, int], after: tuple[int, int]) -> None:
    frame = frames_of(*before)[0]
    made = in_graph(frame, after)
    expected = resize_image(frame, height=after[0], width=after[1])
    assert levels_apart(made, expected) == 0  # one level was asked for


@given(
    before=st.tuples(st.integers(1, 130), st.integers(1, 130)),
    after=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=30, deadline=None)
def test_any_size_is_pillows(before: tuple[int, int], after: tuple[int, int], seed: int) -> None:
    frame = frames_of(*before, seed=seed)[0]
    expected = resize_image(frame, height=after[0], width=after[1])
    assert levels_apart(in_graph(frame, after), expected) == 0


@given(
    before=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    after=st.tuples(st.integers(1, 90), st.integers(1, 90)),
)
@settings(max_examples=25, deadline=None)
def test_in_float64_it_is_pillow_bit_for_bit(
    before: tuple[int, int], after: tuple[int, int]
) -> None:
    fold, source = CameraFold(), CameraResize(before, after)
    assert fold.ensures(source, fold.call(source)) == 0.0


@given(before=st.integers(1, 300), after=st.integers(1, 300))
@settings(max_examples=25, deadline=None)
def test_weights_of_a_pixel_sum_to_one(before: int, after: int) -> None:
    sums = axis_weights(before, after).sum(axis=1)
    assert np.abs(sums - 1).max() <= 2.0**-23 * (before / after * 4 + 8)


def test_weights_that_are_not_pillows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "_SHARPNESS", -0.75)
    with pytest.raises(GateError, match="fold camera"):
        camera_resize(CAMERA, SIZE)


def test_more_pixels_than_vipx_reads_are_refused() -> None:
    with pytest.raises(UsageError, match="--camera 9000x9000"):
        camera_resize((9000, 9000), SIZE)
    with pytest.raises(UsageError, match="256 times"):
        camera_resize((40, 5000), (8, 8))


@pytest.mark.parametrize("wrong", ["2448", "2448x", "0x5", "2448x2048x3", "-3x4"])
def test_a_camera_is_width_by_height_and_nothing_else(wrong: str) -> None:
    option = next(one for one in export.params if one.name == "camera")
    context = click.Context(export)
    assert frames(context, option, "2448X2048") == (2048, 2448)
    with pytest.raises(click.BadParameter, match="WIDTHxHEIGHT"):
        frames(context, option, wrong)


@pytest.mark.slow
def test_the_benchmark_compares_ways_that_agree() -> None:
    options = ["--camera", "96x64", "--size", "24", "--rounds", "2"]
    result = CliRunner().invoke(camera_resize_benchmark.main, options)
    assert result.exit_code == 0, result.output
    rows = [line for line in result.output.splitlines() if "levels apart" in line]
    assert len(rows) == 7
    assert all("  0 levels apart" in row for row in rows)


def test_an_axis_that_keeps_its_length_costs_nothing() -> None:
    assert list(camera_resize((24, 40), (24, 40)).parameters()) == []
    assert len(list(camera_resize((24, 80), (24, 40)).parameters())) == 2


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_the_graph_alone_is_exact_in_every_engine(engine: str, resize_graph: Path) -> None:
    frame = frames_of(*CAMERA, seed=3)[0]
    expected = resize_image(frame, height=SIZE[0], width=SIZE[1])
    planes = frame[None].astype(np.float32).transpose(0, 3, 1, 2)
    if engine == "onnxruntime":
        import onnxruntime

        session = onnxruntime.InferenceSession(resize_graph, providers=["CPUExecutionProvider"])
        made = session.run(None, {"frames": planes})[0]
    else:
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.Core().compile_model(str(resize_graph), "CPU", settings)
        made = compiled({"frames": planes})[0]
    assert levels_apart(made[0].transpose(1, 2, 0), expected) == 0


@pytest.fixture(scope="module")
def resize_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("camera") / "resize.onnx"
    sample = torch.zeros(2, 3, *CAMERA)
    write_graph(camera_resize(CAMERA, SIZE), (sample,), GraphInterface(("frames",), ("o",)), path)
    return path


@pytest.fixture(scope="module")
def camera_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "camera.vipx"
    options = ExportOptions(("fp32", "fp16"), camera=CAMERA)
    bundle_from_detector(tiny_detector(), path, goldens=frames_of(*CAMERA, 3), options=options)
    return path


@pytest.mark.slow
def test_the_manifest_tells_camera_and_model_apart(camera_bundle: Path, tiny_bundle: Path) -> None:
    seen = read_bundle(camera_bundle).manifest.input
    assert (seen.height, seen.width) == SIZE
    assert seen.camera_size == CAMERA
    assert seen.camera is not None
    assert seen.camera.model_dump() == {"height": 61, "width": 83}
    assert "camera" in read_bundle(camera_bundle).manifest.folds
    plain = read_bundle(tiny_bundle).manifest
    assert plain.input.camera_size is None
    assert "camera" not in plain.folds


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_frame_gives_what_the_resized_picture_gives(
    camera_bundle: Path, tiny_bundle: Path, engine: EngineName
) -> None:
    options = EngineOptions(engine=engine, device="cpu")
    frame = frames_of(*CAMERA, seed=5)[0]
    with (
        Inspector.open(camera_bundle, options=options) as ours,
        Inspector.open(tiny_bundle, options=options) as plain,
    ):
        made, expected = ours.inspect(frame), plain.inspect(frame)
        assert abs(made.score - expected.score) <= 1e-6
        assert np.abs(made.anomaly_map - expected.anomaly_map).max() <= 1e-6
        assert made.anomaly_map.shape == SIZE
        check_goldens(ours)


@pytest.mark.slow
def test_frames_of_another_size_are_refused(camera_bundle: Path) -> None:
    with Inspector.open(camera_bundle) as inspector:
        with pytest.raises(InputError, match=r"has 40x24 px.* camera of 83x61 px"):
            inspector.inspect(noise_images(1)[0])
        with pytest.raises(InputError, match="61x83"):
            inspector.inspect(noise_images(1, 83, 61)[0])  # turned


@pytest.mark.slow
def test_a_camera_bundle_is_benchmarked_with_its_frames(camera_bundle: Path) -> None:
    limits = Limits(
        seconds=0.0, iterations=3, most_seconds=1.0, warm_up_seconds=0.0, warm_up_runs=1
    )
    record = measure(camera_bundle, (), BenchOptions(batches=(2,), limits=limits))
    assert record.subject.camera == CAMERA
    assert record.throughput[0].reason is None


def test_goldens_must_be_frames_of_the_camera(tmp_path: Path) -> None:
    options = ExportOptions(("fp32",), camera=CAMERA)
    with pytest.raises(UsageError, match="61x83"):
        bundle_from_detector(
            tiny_detector(), tmp_path / "x.vipx", goldens=noise_images(2), options=options
        )


def test_the_resize_stays_float32_in_a_halved_encoder() -> None:
    encoder = Encoder(tiny_detector().backbone, CAMERA).halve()
    assert encoder.resize is not None
    assert {p.dtype for p in encoder.resize.parameters()} == {torch.float32}
