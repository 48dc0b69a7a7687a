"""The demo's bundle, and one in half precision, built and run by a real TensorRT."""

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import noise_images
from vipx.bundle import read_bundle
from vipx.demo import DEMO_BUNDLE
from vipx.manifest import Precision
from vipx.runtime.engines.engine import ANSWER, CudaBackend, EngineOptions
from vipx.runtime.engines.models import model_of
from vipx.runtime.engines.onnxruntime import OnnxRuntimeEngine
from vipx.runtime.engines.tensorrt import TensorRtEngine, missing
from vipx.runtime.engines.tensorrt.building import Wish, build_engines
from vipx.runtime.engines.tensorrt.key import Settings

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if reason := missing("cuda"):
        pytest.skip(reason)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def answers_agree(
    bundle: Path, precision: Precision, bound: float, backend: CudaBackend = "auto"
) -> None:
    built = build_engines(bundle, Wish(precision, Settings(batch=2), backend), lambda _: None)
    assert all(d.measured <= d.bound for d in built.parity)
    model = model_of(read_bundle(bundle), precision)
    images = np.stack(noise_images(2, *model.size, seed=9))
    reference = OnnxRuntimeEngine(model, EngineOptions()).run(images).arrays
    for cuda_graph in (True, False):
        options = EngineOptions(
            "tensorrt", "cuda", batch=2, cuda_backend=backend, cuda_graph=cuda_graph
        )
        engine = TensorRtEngine(model, options)
        answers = engine.run(images).arrays
        engine.close()
        for name in ANSWER:
            np.testing.assert_allclose(answers[name], reference[name], rtol=0, atol=bound)


def test_float32_agrees_with_onnx_runtime() -> None:
    answers_agree(DEMO_BUNDLE, "fp32", 1e-4)


def test_half_precision_agrees_with_onnx_runtime(tiny_bundle: Path) -> None:
    answers_agree(tiny_bundle, "fp16", 2e-2)
