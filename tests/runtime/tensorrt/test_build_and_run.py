"""A bundle is built and run on every TensorRT from 10.3 to 11.4, and answers as ONNX Runtime does."""

from pathlib import Path

import numpy as np
import pytest

from tests.runtime.tensorrt.conftest import Machine
from tests.runtime.tensorrt.fake import VERSIONS, inventory
from tests.tiny import noise_images
from vipx.bundle import read_bundle
from vipx.runtime.engines.engine import EngineOptions, Output
from vipx.runtime.engines.models import model_of
from vipx.runtime.engines.onnxruntime import OnnxRuntimeEngine
from vipx.runtime.engines.tensorrt import TensorRtEngine
from vipx.runtime.engines.tensorrt.building import Wish
from vipx.runtime.engines.tensorrt.key import Settings

EVERYTHING: tuple[Output, ...] = (
    "global_feature",
    "patch_features",
    "text_embeddings",
    "score",
    "patch_map",
    "anomaly_map",
)


@pytest.mark.parametrize(
    ("version", "backend"),
    [
        *((version, "cuda-python") for version in VERSIONS),
        ("10.3", "pycuda"),
        *(pytest.param(version, "pycuda", marks=pytest.mark.slow) for version in VERSIONS[1:]),
    ],
)
def test_every_version_builds_and_answers_as_onnx_runtime(
    machine: Machine, tiny_bundle: Path, version: str, backend: str
) -> None:
    machine.become(version)
    wish = Wish("fp16", Settings(batch=2), backend)  # type: ignore[arg-type]
    built = machine.build(tiny_bundle, wish)
    assert built.environment.tensorrt == inventory(version)["version"]
    assert [plan.role for plan in built.plans] == ["encoder", "prompts", "heads"]
    assert machine.behaviour.builds == ["encoder.fp16", "prompts", "heads"]
    assert built.fused_attention == built.blocks == 2
    model = model_of(read_bundle(tiny_bundle), "fp16")
    images = np.stack(noise_images(2, seed=7))
    reference = OnnxRuntimeEngine(model, EngineOptions(threads=1)).run(images, EVERYTHING).arrays
    options = EngineOptions("tensorrt", "cuda", batch=2, cuda_backend=wish.cuda_backend)
    engine = TensorRtEngine(model, options)
    try:
        answers = engine.run(images, EVERYTHING).arrays
        for name in EVERYTHING:
            np.testing.assert_allclose(answers[name], reference[name], rtol=0, atol=2e-6)
            assert answers[name].base is None or answers[name].flags.owndata
    finally:
        engine.close()
