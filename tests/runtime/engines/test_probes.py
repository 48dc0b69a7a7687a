"""Probes give an encoder's inner tensors as they are, and leave the bundle alone."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy import ndarray

from tests.tiny import noise_images
from vipx.bundle import read_bundle
from vipx.errors import BundleError, EngineError, UsageError
from vipx.hashing import file_sha256
from vipx.runtime.engines.engine import EngineName, EngineOptions, Model
from vipx.runtime.engines.models import model_of
from vipx.runtime.engines.probes.choice import PROBES, open_probe
from vipx.runtime.engines.probes.probe import Probe

IMAGE = noise_images(1, seed=5)[0]


@pytest.fixture(scope="module", params=["inside", "beside"])
def model(
    request: pytest.FixtureRequest, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Model:
    """The tiny encoder with its weights in its own file, or beside it as those of large ones are."""
    made = model_of(read_bundle(tiny_bundle), "fp32")
    folder = tmp_path_factory.mktemp("model")
    encoder = Path(shutil.copy(made.encoder, folder))
    if request.param == "beside":
        onnx.save(
            onnx.load(encoder),
            encoder,
            save_as_external_data=True,
            location="encoder.onnx.data",
            size_threshold=256,
        )
    return replace(made, encoder=encoder, folder=folder)


@pytest.fixture(scope="module")
def expected(model: Model) -> dict[str, ndarray]:
    """Some inner tensors, by the onnx package and a session of their own."""
    whole = onnx.load(model.encoder)
    nodes = [node for node in whole.graph.node if node.op_type == "MatMul"]
    names = list(dict.fromkeys(node.input[0] for node in nodes))[::3]
    whole.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names
    )
    session = onnxruntime.InferenceSession(
        whole.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return dict(zip(names, session.run(names, {"image": IMAGE[None]}), strict=True))


@pytest.fixture(params=sorted(PROBES))
def options(request: pytest.FixtureRequest) -> EngineOptions:
    return EngineOptions(engine=request.param, device="cpu", threads=1)


@pytest.fixture
def probe(model: Model, expected: dict[str, ndarray], options: EngineOptions) -> Iterator[Probe]:
    opened = open_probe(model, list(expected), options)
    yield opened
    opened.close()


def test_a_probe_gives_every_tensor_once_in_order(
    probe: Probe, expected: dict[str, ndarray]
) -> None:
    assert isinstance(probe, Probe)
    for _ in range(2):
        found = [(each.tensor, each.values.copy()) for each in probe.run(IMAGE)]
        assert [name for name, _ in found] == list(expected)
        for name, values in found:
            np.testing.assert_allclose(values, expected[name], rtol=0, atol=2e-5)


def test_nothing_is_written_beside_the_encoder(
    model: Model, expected: dict[str, ndarray], options: EngineOptions
) -> None:
    before = {path.name: file_sha256(path) for path in model.folder.iterdir()}
    opened = open_probe(model, list(expected), options)
    list(opened.run(IMAGE))
    during = {path.name: file_sha256(path) for path in model.folder.iterdir()}
    opened.close()
    assert during == before


def test_a_closed_probe_says_so_and_may_be_closed_again(probe: Probe) -> None:
    probe.close()
    probe.close()
    with pytest.raises(EngineError, match="was closed"):
        next(probe.run(IMAGE))


def test_an_image_of_another_size_is_the_engines_error(probe: Probe) -> None:
    with pytest.raises(EngineError, match=r"encoder\.onnx"):
        next(probe.run(np.zeros((3, 5, 3), np.uint8)))


def test_a_tensor_that_is_not_there_is_an_error(model: Model, options: EngineOptions) -> None:
    with pytest.raises((BundleError, EngineError), match=r"encoder\.onnx"):
        open_probe(model, ["nothing"], options)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (EngineOptions(engine="tensorrt"), "--engine onnxruntime or openvino"),
        (EngineOptions(engine="openvino", arithmetic="bf16"), "--arithmetic bf16"),
    ],
)
def test_what_cannot_look_inside_is_refused(
    model: Model, options: EngineOptions, named: str
) -> None:
    with pytest.raises(UsageError, match=named):
        open_probe(model, ["image"], options)


def test_an_engine_that_is_not_here_is_named(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    missing: EngineName = "openvino"
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(EngineError, match=r"vipx\[openvino\]"):
        open_probe(model, ["image"], EngineOptions(engine=missing))
