"""The inspector: a bundle and an image in; score, heat map and verdict out."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from types import TracebackType

import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

from vipx.bundle import Bundle, read_bundle
from vipx.errors import EngineError, InputError, UsageError
from vipx.images import read_image, resize_image
from vipx.manifest import InputRecord, Precision
from vipx.recipe import Recipe
from vipx.runtime.engines.choice import open_engine as open_best
from vipx.runtime.engines.engine import (
    ANSWER,
    Engine,
    EngineDescription,
    EngineOptions,
    EngineRun,
    Model,
    Output,
    StageTimes,
)
from vipx.runtime.engines.models import model_of
from vipx.runtime.judgement import Judge, judge_by_recipe, judge_by_threshold
from vipx.verdict import Cause, Evidence, Verdict

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
        score: Anomaly score in [0, 1]; higher is more anomalous. That of the recipe's region, if it has one.
        anomaly_map: Float32 in [0, 1] at the model's input size.
        patch_map: The same before up-sampling and smoothing.
        verdict: OK, NG or REVIEW; ERROR where the score is not a number.
        threshold: What the score was compared with, if anything.
        reason: The verdict's reason in one sentence.
        timings: Where the time went.
        causes: What led to the verdict: the score, the defective area; or what was seen beside the region.
        evidence: The numbers that were judged.
        feature: The encoder's global feature, of unit length, if it was asked for.
    """

    score: float
    anomaly_map: Float[ndarray, "height width"]
    patch_map: Float[ndarray, "rows columns"]
    verdict: Verdict
    threshold: float | None
    reason: str
    timings: Timings
    causes: tuple[Cause, ...]
    evidence: Evidence
    feature: Float[ndarray, " dim"] | None = None


@dataclass(frozen=True, slots=True)
class _Ready:
    """Pixels at the size that the encoder takes, and the milliseconds that reading and resizing took."""

    pixels: UInt8[ndarray, "height width 3"]
    decode: float
    resize: float


class Inspector:
    """Runs a verified bundle; opened once, used for many images, from one thread at a time.

    Example:
        with Inspector.open(Path("part.vipx"), threshold=0.6) as inspector:
            print(inspector.inspect(Path("photo.png")).verdict)
    """

    def __init__(self, bundle: Bundle, engine: Engine, judge: Judge, recipe: Recipe | None) -> None:
        self.bundle, self.recipe = bundle, recipe
        self._engine, self._judge = engine, judge

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        precision: Precision | None = None,
        threshold: float | None = None,
        recipe: Recipe | None = None,
        options: EngineOptions = EngineOptions(),  # noqa: B008 - frozen
        texts: Float32[ndarray, "texts dim"] | None = None,
        open_engine: OpenEngine = open_best,
    ) -> "Inspector":
        """Verify a bundle and start its graphs.

        Args:
            path: The bundle's folder.
            precision: Which encoder; without it the recipe's, or the one that the bundle names first.
            threshold: Scores from here on are NG; without it and without a recipe every verdict is REVIEW.
            recipe: Limits, region and, where they were folded, texts of one product.
            options: Engine, device and threads; by default the best engine of this machine.
            texts: Text embeddings in place of the bundle's prompts and of the recipe's.
            open_engine: Opens the graphs as the options say.

        Raises:
            BundleError: The bundle cannot be trusted.
            RecipeError: The recipe was made for another bundle.
            EngineError: The engine or the device is not there.
            UsageError: The bundle has no encoder of this precision, the threshold is no number in (0, 1], or
                both a threshold and a recipe were given.
        """
        bundle = read_bundle(path)
        judge = _judge(bundle, threshold, recipe)
        if recipe is not None:
            precision = precision or recipe.engine.precision
            texts = recipe.texts() if texts is None else texts
        engine = open_engine(model_of(bundle, precision, texts), options)
        return cls(bundle, engine, judge, recipe)

    def with_recipe(self, recipe: Recipe) -> "Inspector":
        """Give an inspector of another product on the same engine; closing either closes both.

        Raises:
            RecipeError: The recipe was made for another bundle.
            UsageError: Its texts are not those that the engine was opened with; open the bundle anew for it.
        """
        mine = None if self.recipe is None else self.recipe.fold
        if (mine and mine.texts) != (recipe.fold and recipe.fold.texts):
            raise UsageError(
                f"recipe of {recipe.product!r}: its folded texts are not those of this engine; "
                "open the bundle with it"
            )
        return Inspector(self.bundle, self._engine, judge_by_recipe(recipe, self.bundle), recipe)

    @property
    def threshold(self) -> float | None:
        """Scores from here on are NG; None where the score does not decide."""
        limit = self._judge.limits.score
        return None if limit is None else limit.ng

    @property
    def description(self) -> EngineDescription:
        """Say which engine answers."""
        return self._engine.description

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of the model's input and of every heat map."""
        return self.bundle.manifest.input.height, self.bundle.manifest.input.width

    def inspect(
        self, image: Path | UInt8[ndarray, "height width 3"], *, features: bool = False
    ) -> Inspection:
        """Inspect an image file, or RGB pixels; of any size, or of the camera's where the graph resizes.

        Raises:
            ImageError: The file cannot be read.
            InputError: The graph was made for a camera with other frames.
            EngineError: The engine failed.
        """
        return self.inspect_many((image,), features=features)[0]

    def inspect_many(
        self, images: Sequence[Path | UInt8[ndarray, "_ _ 3"]], *, features: bool = False
    ) -> tuple[Inspection, ...]:
        """Inspect several images in one run of the graphs; each alone gives the same up to rounding.

        Each is told an equal share of the engine's time. TensorRT runs as many as it was opened for. Global
        features are brought back if they are asked for.

        Raises:
            ImageError: A file cannot be read; none is answered.
            InputError: The graph was made for a camera with other frames.
            EngineError: The engine failed, or does not run as many.
        """
        if not images:
            return ()
        ready = [self._ready(image) for image in images]
        wanted: tuple[Output, ...] = (*ANSWER, "global_feature") if features else ANSWER
        result = self._engine.run(np.stack([each.pixels for each in ready]), wanted)
        share = result.times.divided(len(ready))
        return tuple(
            self._inspection(result, row, Timings(each.decode, each.resize, share))
            for row, each in enumerate(ready)
        )

    def run(self, image: UInt8[ndarray, "_ _ 3"], wanted: Collection[Output] = ANSWER) -> EngineRun:
        """Run the graphs on RGB pixels of any size; gives the arrays that are wanted, and no verdict.

        Raises:
            EngineError: The engine failed.
        """
        taken = self.bundle.manifest.input
        return self._engine.run(prepared(image, taken)[None], wanted)

    def _ready(self, image: Path | UInt8[ndarray, "_ _ 3"]) -> "_Ready":
        start = perf_counter()
        pixels = read_image(image) if isinstance(image, Path) else image
        decoded = perf_counter()
        resized = prepared(pixels, self.bundle.manifest.input)
        return _Ready(resized, 1000 * (decoded - start), 1000 * (perf_counter() - decoded))

    def _inspection(self, result: EngineRun, row: int, timings: Timings) -> Inspection:
        anomaly_map = self._checked_map(result.arrays["anomaly_map"][row])
        patch_map = result.arrays["patch_map"][row]
        score = float(result.arrays["score"][row])
        evidence = self._judge.evidence(score, patch_map, anomaly_map)
        decision = self._judge.decide(evidence)
        feature = result.arrays.get("global_feature")
        return Inspection(
            score=evidence.score,
            anomaly_map=anomaly_map,
            patch_map=patch_map,
            verdict=decision.verdict,
            threshold=self.threshold,
            reason=decision.reason,
            timings=timings,
            causes=decision.causes,
            evidence=evidence,
            feature=None if feature is None else feature[row],
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


def prepared(
    pixels: UInt8[ndarray, "_ _ 3"], taken: InputRecord
) -> UInt8[ndarray, "height width 3"]:
    """Give RGB pixels at the size that the encoder takes.

    Raises:
        InputError: The encoder resizes frames of one camera itself, and these are no frames of it.
    """
    if taken.camera is None:
        return resize_image(pixels, height=taken.height, width=taken.width)
    if pixels.shape[:2] != taken.camera_size:
        height, width, _ = pixels.shape
        raise InputError(
            f"this picture has {width}x{height} px, and the bundle was exported for a camera of "
            f"{taken.camera.width}x{taken.camera.height} px; export it without --camera for other sizes"
        )
    return pixels


def _judge(bundle: Bundle, threshold: float | None, recipe: Recipe | None) -> Judge:
    if recipe is None:
        return judge_by_threshold(threshold)
    if threshold is not None:
        raise UsageError(
            "threshold: the recipe brings its own; give either a threshold or a recipe"
        )
    return judge_by_recipe(recipe, bundle)
