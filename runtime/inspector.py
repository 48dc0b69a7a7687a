"""The inspector: a bundle and an image in; score, heat map and verdict out."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from types import TracebackType

from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

from vipx.bundle import Bundle, read_bundle
from vipx.errors import EngineError
from vipx.images import read_image, resize_image
from vipx.manifest import Precision
from vipx.runtime.engines.choice import open_engine as open_best
from vipx.runtime.engines.engine import (
    Engine,
    EngineDescription,
    EngineOptions,
    EngineRun,
    Model,
    StageTimes,
)
from vipx.runtime.engines.models import model_of
from vipx.verdict import Verdict, check_threshold, decide

OpenEngine = Callable[[Model, EngineOptions], Engine]


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of each step for one image; `decode` is 0 where pixels were given."""

    decode: float
    resize: float
    stages: StageTimes

    @property
    def total(self) -> float:
        """Milliseconds from the file to the heat map."""
        return self.decode + self.resize + self.stages.total

    def record(self) -> dict[str, float]:
        """Give the steps and their total as plain data, rounded to a microsecond."""
        ends = {"decode": self.decode, "resize": self.resize}
        steps = ends | asdict(self.stages) | {"total": self.total}
        return {name: round(value, 3) for name, value in steps.items()}


@dataclass(frozen=True, slots=True)
class Inspection:
    """The answer for one image.

    Attributes:
        score: Anomaly score in [0, 1]; higher is more anomalous.
        anomaly_map: Float32 in [0, 1] at the model's input size.
        patch_map: The same before up-sampling and smoothing.
        verdict: OK, NG or REVIEW; ERROR where the score is not a number.
        threshold: What the score was compared with, if anything.
        reason: The verdict's reason in one sentence.
        timings: Where the time went.
    """

    score: float
    anomaly_map: Float[ndarray, "height width"]
    patch_map: Float[ndarray, "rows columns"]
    verdict: Verdict
    threshold: float | None
    reason: str
    timings: Timings


class Inspector:
    """Runs a verified bundle; opened once, used for many images, from one thread at a time.

    Example:
        with Inspector.open(Path("part.vipx"), threshold=0.6) as inspector:
            print(inspector.inspect(Path("photo.png")).verdict)
    """

    def __init__(self, bundle: Bundle, engine: Engine, threshold: float | None) -> None:
        self.bundle = bundle
        self.threshold = None if threshold is None else check_threshold(threshold)
        self._engine = engine

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        precision: Precision | None = None,
        threshold: float | None = None,
        options: EngineOptions = EngineOptions(),  # noqa: B008 - frozen
        texts: Float32[ndarray, "texts dim"] | None = None,
        open_engine: OpenEngine = open_best,
    ) -> "Inspector":
        """Verify a bundle and start its graphs.

        Args:
            path: The bundle's folder.
            precision: Which encoder; without it the one that the bundle names first.
            threshold: Scores from here on are NG; without it every verdict is REVIEW.
            options: Engine, device and threads; by default the best engine of this machine.
            texts: Text embeddings folded for a site, in place of the bundle's prompts.
            open_engine: Opens the graphs as the options say.

        Raises:
            BundleError: The bundle cannot be trusted.
            EngineError: The engine or the device is not there.
            UsageError: The bundle has no encoder of this precision, or the threshold is no number in (0, 1].
        """
        bundle = read_bundle(path)
        engine = open_engine(model_of(bundle, precision, texts), options)
        return cls(bundle, engine, threshold)

    @property
    def description(self) -> EngineDescription:
        """Say which engine answers."""
        return self._engine.description

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of the model's input and of every heat map."""
        return self.bundle.manifest.input.height, self.bundle.manifest.input.width

    def inspect(self, image: Path | UInt8[ndarray, "height width 3"]) -> Inspection:
        """Inspect an image file, or RGB pixels of any size.

        Raises:
            ImageError: The file cannot be read.
            EngineError: The engine failed.
        """
        start = perf_counter()
        pixels = read_image(image) if isinstance(image, Path) else image
        decoded = perf_counter()
        height, width = self.size
        resized = resize_image(pixels, height=height, width=width)
        ready = perf_counter()
        return self._run(resized, decode=decoded - start, resize=ready - decoded)

    def _run(
        self, image: UInt8[ndarray, "height width 3"], *, decode: float, resize: float
    ) -> Inspection:
        result: EngineRun = self._engine.run(image[None])
        score = float(result.arrays["score"][0])
        decision = decide(score, self.threshold)
        return Inspection(
            score=score,
            anomaly_map=self._checked_map(result.arrays["anomaly_map"][0]),
            patch_map=result.arrays["patch_map"][0],
            verdict=decision.verdict,
            threshold=self.threshold,
            reason=decision.reason,
            timings=Timings(1000 * decode, 1000 * resize, result.times),
        )

    def _checked_map(self, anomaly_map: ndarray) -> Float[ndarray, "height width"]:
        if anomaly_map.shape != self.size:
            raise EngineError(f"heads gave a map of {anomaly_map.shape}, expected {self.size}")
        return anomaly_map

    def close(self) -> None:
        """Free the engine."""
        self._engine.close()

    def __enter__(self) -> "Inspector":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
