"""TensorRT's two ways for ONNX Runtime: only when asked for, what they are told, and no silent other way.

No GPU is here: the sessions below are real ones on the CPU behind a runtime that claims the provider.
"""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as real
import pytest

from vipx.bundle import read_bundle
from vipx.errors import EngineError, UsageError
from vipx.runtime.engines import onnxruntime as engine_module
from vipx.runtime.engines import providers
from vipx.runtime.engines.choice import candidates, open_engine
from vipx.runtime.engines.engine import EngineOptions, Model
from vipx.runtime.engines.models import model_of

RTX, TRT, CUDA = (
    "NvTensorRTRTXExecutionProvider",
    "TensorrtExecutionProvider",
    "CUDAExecutionProvider",
)


class ClaimedSession:
    """A session on the CPU that says that it runs elsewhere."""

    def __init__(self, inner: real.InferenceSession, claimed: list[str]) -> None:
        self._inner, self._claimed = inner, claimed

    def get_providers(self) -> list[str]:
        return self._claimed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class ClaimingRuntime(ModuleType):
    """ONNX Runtime with a GPU's providers, whose sessions compute on the CPU all the same."""

    __version__ = "1.31.1"
    OrtValue = real.OrtValue

    def __init__(self) -> None:
        super().__init__("claiming")
        self.available = [TRT, CUDA, "CPUExecutionProvider"]
        self.starts: list[str] | None = None  # None: as asked
        self.plugged: list[tuple[str, str]] = []
        self.has_gpu = True
        self.sessions: list[tuple[str, Any, SimpleNamespace]] = []

    def get_available_providers(self) -> list[str]:
        return self.available

    def SessionOptions(self) -> SimpleNamespace:
        made = SimpleNamespace(entries={}, devices=[])
        made.add_session_config_entry = made.entries.__setitem__
        made.add_provider_for_devices = lambda devices, options: made.devices.append(
            (devices, options)
        )
        return made

    def register_execution_provider_library(self, name: str, path: str) -> None:
        self.plugged.append((name, path))

    def get_ep_devices(self) -> list[SimpleNamespace]:
        cpu = SimpleNamespace(ep_name="CPUExecutionProvider")
        gpu = [SimpleNamespace(ep_name=RTX)] * 2 if self.plugged and self.has_gpu else []
        return [cpu, *gpu]

    def InferenceSession(
        self, graph: Path, settings: SimpleNamespace, providers: Any
    ) -> ClaimedSession:
        self.sessions.append((Path(graph).name, providers, settings))
        asked = [RTX] if providers is None else [name for name, _ in providers]
        inner = real.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
        return ClaimedSession(inner, self.starts or [*asked, "CPUExecutionProvider"])


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> ClaimingRuntime:
    made = ClaimingRuntime()
    versions = {"onnxruntime-ep-nv-tensorrt-rtx-cu13": "0.5.0", "tensorrt-cu12": "10.13.3.9"}
    plug_in = ModuleType("plug_in")
    plug_in.get_library_path = lambda: "/there/libplug_in.so"  # type: ignore[attr-defined]
    monkeypatch.setattr(engine_module, "load_onnxruntime", lambda: made)
    monkeypatch.setattr(providers, "_version", versions.get)
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", plug_in)
    monkeypatch.setitem(sys.modules, "tensorrt", plug_in)
    return made


@pytest.fixture
def model(tiny_bundle: Path) -> Model:
    return model_of(read_bundle(tiny_bundle), "fp32")


def images(model: Model) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, *model.size, 3), np.uint8)


def test_nothing_but_cuda_is_taken_unasked(runtime: ClaimingRuntime) -> None:
    assert EngineOptions().provider == "cuda"
    listed = candidates(EngineOptions(engine="onnxruntime", device="cuda"), "fp32")
    assert [(one.engine, one.device) for one in listed] == [("onnxruntime", "cuda")]


@pytest.mark.parametrize("provider", ["tensorrt", "tensorrt-rtx"])
@pytest.mark.parametrize("other", [{"engine": "openvino"}, {"device": "cpu"}])
def test_a_provider_of_another_engine_or_device_is_refused(provider: Any, other: Any) -> None:
    with pytest.raises(UsageError, match="ONNX Runtime's on a GPU"):
        EngineOptions(provider=provider, **other)


def test_the_plug_in_is_registered_once_and_runs_every_graph(
    runtime: ClaimingRuntime, model: Model
) -> None:
    for _ in range(2):
        engine = open_engine(model, EngineOptions(provider="tensorrt-rtx"))
    assert runtime.plugged == [(RTX, "/there/libplug_in.so")]
    assert len(runtime.sessions) == 6
    for _, asked, settings in runtime.sessions:
        assert asked is None
        assert settings.entries["session.disable_cpu_ep_fallback"] == "1"
        ((devices, options),) = settings.devices
        assert ([device.ep_name for device in devices], options) == ([RTX], {})
    told = engine.description
    assert (told.device, told.detail) == ("cuda", {"provider": "tensorrt-rtx 0.5.0"})
    expected = open_with_cpu(model).run(images(model)).arrays["score"]
    # The CPU's own form of the encoder sums in another order.
    np.testing.assert_allclose(engine.run(images(model)).arrays["score"], expected, atol=1e-6)


def open_with_cpu(model: Model) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "load_onnxruntime", lambda: real)
        return open_engine(model, EngineOptions(engine="onnxruntime", device="cpu"))


def test_a_plug_in_without_its_gpu_is_an_error(runtime: ClaimingRuntime, model: Model) -> None:
    runtime.has_gpu = False
    with pytest.raises(EngineError, match="finds no GPU"):
        open_engine(model, EngineOptions(provider="tensorrt-rtx"))


def test_a_plug_in_that_does_not_load_says_why(
    runtime: ClaimingRuntime, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(name: str, path: str) -> None:
        raise RuntimeError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(runtime, "register_execution_provider_library", fails)
    with pytest.raises(EngineError, match=r"does not load: .*libcuda\.so\.1"):
        open_engine(model, EngineOptions(provider="tensorrt-rtx"))


@pytest.mark.parametrize(
    ("provider", "change", "reason"),
    [
        ("tensorrt-rtx", {"versions": {}}, r"pip install 'vipx\[rtx\]'"),
        ("tensorrt", {"versions": {}}, "pip install 'tensorrt-cu12"),
        ("tensorrt", {"versions": {"tensorrt": "11.4.0"}}, "linked with TensorRT 10, and 11.4.0"),
        ("tensorrt", {"available": [CUDA]}, f"has no {TRT}"),
    ],
)
def test_what_is_missing_is_said_with_its_remedy(
    runtime: ClaimingRuntime,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
    provider: Any,
    change: dict[str, Any],
    reason: str,
) -> None:
    runtime.available = change.get("available", runtime.available)
    if "versions" in change:
        monkeypatch.setattr(providers, "_version", change["versions"].get)
    with pytest.raises(EngineError, match=reason):
        open_engine(model, EngineOptions(provider=provider))


def test_tensorrt_may_halve_the_encoder_alone_and_keeps_nothing(
    runtime: ClaimingRuntime, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers.Way, "values", "cpu")  # as no CUDA is here to hold them
    half = model_of(read_bundle(tiny_bundle), "fp16")
    open_engine(half, EngineOptions(provider="tensorrt"))
    allowed = {}
    for name, ((first, options), (second, _)), _ in runtime.sessions:
        assert (first, second) == (TRT, CUDA)
        assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "0"
        allowed[name] = options["trt_fp16_enable"]
    assert allowed.pop("encoder.fp16.onnx") == "1"
    assert set(allowed.values()) == {"0"}


@pytest.mark.parametrize("provider", ["tensorrt", "tensorrt-rtx"])
def test_another_provider_that_starts_instead_is_an_error(
    runtime: ClaimingRuntime, model: Model, provider: Any
) -> None:
    runtime.starts = [CUDA, "CPUExecutionProvider"]
    with pytest.raises(EngineError, match="did not start"):
        open_engine(model, EngineOptions(provider=provider))
