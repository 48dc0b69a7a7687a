"""The protocol of an engine: the graphs of one bundle on one device, opened once, run many times."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, Protocol, get_args, runtime_checkable

from jaxtyping import Float32, UInt8
from numpy import ndarray

from vipx.errors import UsageError
from vipx.manifest import Precision

EngineName = Literal["onnxruntime", "tensorrt", "openvino"]
Device = Literal["cpu", "cuda"]
Arithmetic = Literal["f32", "bf16"]
CudaBackend = Literal["auto", "cuda-python", "pycuda"]
Provider = Literal["cuda", "tensorrt", "tensorrt-rtx"]
Output = Literal[
    "global_feature", "patch_features", "text_embeddings", "score", "patch_map", "anomaly_map"
]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
BUILD_SECONDS = "build seconds"  # in an engine's detail, where graphs were compiled ahead of time
ANSWER: tuple[Output, ...] = ("score", "patch_map", "anomaly_map")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Which engine, and where it runs. Nothing here is ever replaced by something else in silence.

    Attributes:
        engine: None takes the best that this machine has (`vipx.runtime.engines.choice`).
        device: None takes the best that the engine has.
        threads: Threads within one operator on the CPU; None leaves it to the engine.
        batch: Most images of one run. TensorRT builds an engine for exactly this many.
        arithmetic: What the encoder computes in beside its stored precision; `bf16` is OpenVINO's alone.
        cuda_backend: What TensorRT reaches the device's memory with.
        cuda_graph: Whether TensorRT captures the graphs' launches once and replays them; needs cuda-python.
        provider: What ONNX Runtime reaches a GPU with; another than `cuda` is never taken unasked.
    """

    engine: EngineName | None = None
    device: Device | None = None
    threads: int | None = None
    batch: int = 1
    arithmetic: Arithmetic = "f32"
    cuda_backend: CudaBackend = "auto"
    cuda_graph: bool = True
    provider: Provider = "cuda"

    def __post_init__(self) -> None:
        if self.provider != "cuda" and (
            self.engine not in (None, "onnxruntime") or self.device == "cpu"
        ):
            raise UsageError(
                f"provider: {self.provider} is ONNX Runtime's on a GPU; leave out other engines and devices"
            )
        for name in ("threads", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name}: expected at least 1, got {value}")


@dataclass(frozen=True, slots=True)
class Model:
    """What an engine is opened on: files of a verified bundle, in one precision.

    Attributes:
        name: The bundle, for messages.
        identity: sha256 of the bundle's manifest.
        precision: Of the encoder.
        encoder: Graph from `image` to `global_feature` and `patch_features`.
        prompts: Graph from `global_feature` to `text_embeddings`; None where `texts` are constant.
        texts: Constant text embeddings, of the bundle or folded for a site.
        heads: Graph from features and texts to `score`, `patch_map` and `anomaly_map`.
        size: Height and width in pixels of the input and of every anomaly map.
        sha256: Of every file of the bundle, by its path relative to it.
        folder: The bundle.
    """

    name: str
    identity: str
    precision: Precision
    encoder: Path
    prompts: Path | None
    texts: Float32[ndarray, "texts dim"] | None
    heads: Path
    size: tuple[int, int]
    folder: Path
    sha256: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.prompts is None) == (self.texts is None):
            raise UsageError(f"{self.name}: expected either a prompts graph or constant texts")


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Milliseconds of one run; a stage that an engine cannot tell from its neighbour is 0 and counts there."""

    host_to_device: float = 0.0
    encoder: float = 0.0
    prompts: float = 0.0
    heads: float = 0.0
    device_to_host: float = 0.0

    @property
    def total(self) -> float:
        """Milliseconds of the whole run."""
        return sum(asdict(self).values())

    def divided(self, images: int) -> "StageTimes":
        """Give the share of one image in a batch."""
        return StageTimes(*(span / images for span in asdict(self).values()))


@dataclass(frozen=True, slots=True)
class EngineRun:
    """What a run gave: the arrays that were wanted, owned by the caller, and where the time went."""

    arrays: Mapping[str, ndarray]
    times: StageTimes


@dataclass(frozen=True, slots=True)
class EngineDescription:
    """What answers, for reports, results and recipes.

    Attributes:
        engine: Its name.
        version: Of the library.
        device: `cpu` or `cuda`.
        precision: Of the encoder's file.
        arithmetic: What it computes in beside that.
        detail: What else an engineer would ask: threads, providers, device's name, CUDA graph.
    """

    engine: EngineName
    version: str
    device: Device
    precision: Precision
    arithmetic: Arithmetic = "f32"
    detail: Mapping[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """Give one line for a person."""
        beside = f" with {self.arithmetic}" if self.arithmetic != "f32" else ""
        details = "".join(f", {name} {value}" for name, value in self.detail.items())
        return f"{self.engine} {self.version} on {self.device}, {self.precision}{beside}{details}"


@runtime_checkable
class Engine(Protocol):
    """Runs a bundle's graphs one after the other; from one thread at a time."""

    @property
    def description(self) -> EngineDescription:
        """Say what runs here."""

    def run(
        self, images: UInt8[ndarray, "batch height width 3"], wanted: Collection[Output] = ANSWER
    ) -> EngineRun:
        """Run on RGB images of exactly the input size; nothing that is not wanted is brought back.

        Raises:
            EngineError: The engine failed, or the batch is larger than it was opened for.
        """

    def close(self) -> None:
        """Free the device's memory; the engine cannot be used afterwards. Closing twice does no harm."""
