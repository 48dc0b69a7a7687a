"""Engines agree: on the published goldens in float32, and within stated bounds in bf16 and INT8."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.golden_case import AVAILABLE, COMMITTED, GoldenCase
from vipx.bundle import read_bundle
from vipx.export import ExportOptions, Int8Request, bundle_from_detector
from vipx.manifest import Precision
from vipx.runtime.engines import onnxruntime
from vipx.runtime.engines.engine import Arithmetic, EngineName, EngineOptions
from vipx.runtime.engines.models import model_of
from vipx.runtime.inspector import Inspector

# Of the score, at most; of the map, in the mean. bf16 has 8 bits of mantissa, INT8 7 of magnitude.
BOUNDS = {"bf16": (2e-2, 1e-2), "int8": (2e-2, 1e-2)}


def answers(
    case: GoldenCase, bundle: Path, engine: EngineName, precision: Precision, arithmetic: Arithmetic
) -> tuple[np.ndarray, np.ndarray]:
    options = EngineOptions(engine=engine, device="cpu", threads=1, arithmetic=arithmetic)
    with Inspector.open(bundle, precision=precision, options=options) as inspector:
        found = [inspector.inspect(path) for path in case.image_paths()]
    return np.array([one.score for one in found]), np.stack([one.anomaly_map for one in found])


@pytest.fixture(scope="module")
def rounded_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed case in float32 and INT8, with ranges from its own pictures, turned and mirrored."""
    folder = tmp_path_factory.mktemp("rounded")
    goldens = list(COMMITTED.pixels(COMMITTED.image_paths()).numpy())
    pictures = folder / "pictures"
    pictures.mkdir()
    for number, image in enumerate(goldens):
        for turns in range(8):
            turned = np.rot90(image, turns)[:, :: 1 if turns < 4 else -1]
            Image.fromarray(np.ascontiguousarray(turned)).save(pictures / f"{number}-{turns}.png")
    path = folder / "golden.vipx"
    options = ExportOptions(("fp32", "int8"), int8=Int8Request(pictures))
    bundle_from_detector(COMMITTED.detector(), path, goldens=goldens, options=options)
    return path


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_both_engines_give_the_published_numbers(engine: EngineName, golden_bundle: Path) -> None:
    scores, maps = answers(COMMITTED, golden_bundle, engine, "fp32", "f32")
    assert np.abs(scores - COMMITTED.expected["scores"]).max() <= 1e-5
    assert np.abs(maps - COMMITTED.expected["maps"]).max() <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(AVAILABLE) - {"tests"}))
def test_both_engines_give_the_shared_goldens(name: str, tmp_path: Path) -> None:
    case = AVAILABLE[name]
    goldens = list(case.pixels(case.image_paths()).numpy())
    bundle = tmp_path / "case.vipx"
    bundle_from_detector(case.detector(), bundle, goldens=goldens, options=ExportOptions())
    for engine in ("onnxruntime", "openvino"):
        scores, maps = answers(case, bundle, engine, "fp32", "f32")
        assert np.abs(scores - case.expected["scores"]).max() <= 1e-5
        assert np.abs(maps - case.expected["maps"]).max() <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "precision", "arithmetic"),
    [
        ("onnxruntime", "int8", "f32"),
        ("openvino", "int8", "f32"),
        ("openvino", "int8", "bf16"),
        ("openvino", "fp32", "bf16"),
    ],
)
def test_narrow_arithmetic_stays_within_its_bounds(
    rounded_bundle: Path, engine: EngineName, precision: Precision, arithmetic: Arithmetic
) -> None:
    scores, maps = answers(COMMITTED, rounded_bundle, engine, precision, arithmetic)
    score, map_ = BOUNDS["int8" if precision == "int8" else arithmetic]
    assert np.abs(scores - COMMITTED.expected["scores"]).max() <= score
    assert np.abs(maps - COMMITTED.expected["maps"]).mean() <= map_
    assert np.corrcoef(maps.ravel(), COMMITTED.expected["maps"].ravel())[0, 1] >= 0.99


@pytest.mark.slow
def test_both_engines_agree_on_one_int8_file(rounded_bundle: Path) -> None:
    found = [
        answers(COMMITTED, rounded_bundle, engine, "int8", "f32")
        for engine in ("onnxruntime", "openvino")
    ]
    # One value that rounds to its neighbour moves others: they agree as well as either agrees with float32.
    assert np.abs(found[0][0] - found[1][0]).max() <= 2e-2
    assert np.abs(found[0][1] - found[1][1]).mean() <= 5e-3


@pytest.mark.slow
def test_onnxruntime_opens_its_own_form_on_the_cpu(
    rounded_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    class Watched(onnxruntime.Session):
        def __init__(self, graph: Path, *rest: Any) -> None:
            opened.append(graph.name)
            super().__init__(graph, *rest)

    monkeypatch.setattr(onnxruntime, "Session", Watched)
    for precision in ("fp32", "int8"):
        model = model_of(read_bundle(rounded_bundle), precision)
        onnxruntime.OnnxRuntimeEngine(model, EngineOptions()).close()
    tail = ["prompts.onnx", "heads.onnx"]
    own = [f"encoder{kind}.onnxruntime.onnx" for kind in ("", ".int8")]
    assert opened == [own[0], *tail, own[1], *tail]


@pytest.mark.parametrize(
    ("machine", "told", "setting"),
    [
        ("x86_64", "flags: avx2 avx512_vnni", "0"),
        ("AMD64", "flags: avx2 avx_vnni", "0"),
        ("x86_64", "flags: avx2", "1"),
        ("x86_64", None, "1"),
        ("aarch64", None, "0"),
    ],
)
def test_weights_become_unsigned_where_signed_ones_overflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str, told: str | None, setting: str
) -> None:
    if told is not None:
        (tmp_path / "cpuinfo").write_text(told)
    monkeypatch.setattr(onnxruntime, "_CPU", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert onnxruntime._unsigned_weights() == setting
