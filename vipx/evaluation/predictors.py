"""What is evaluated: anything that gives a score and an anomaly map for a picture of its input size."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from jaxtyping import Float32, UInt8
from numpy import ndarray

from vipx.bundle import MANIFEST
from vipx.errors import UsageError
from vipx.evaluation.results import ModelRecord
from vipx.manifest import Precision
from vipx.runtime.engines.engine import EngineOptions
from vipx.runtime.inspector import Inspector

__all__ = ["Answer", "BackboneFiles", "ModelChoice", "Predictor", "open_predictor"]


@dataclass(frozen=True, slots=True)
class Answer:
    """Score and anomaly map of one picture; higher is more anomalous."""

    score: float
    anomaly_map: Float32[ndarray, "height width"]


@runtime_checkable
class Predictor(Protocol):
    """Answers for one picture at a time."""

    @property
    def record(self) -> ModelRecord:
        """Say what answers here."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of the input and of every map."""

    def predict(self, image: UInt8[ndarray, "height width 3"]) -> Answer:
        """Answer for an RGB picture of exactly the input size."""


@dataclass(frozen=True, slots=True)
class BackboneFiles:
    """How the user names a checkpoint's CLIP: a file, or an open_clip name and tag."""

    weights: Path | None = None
    name: str | None = None
    tag: str | None = None

    @property
    def given(self) -> bool:
        """Whether the user named one at all."""
        return (self.weights, self.name, self.tag) != (None, None, None)


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What to evaluate, and how it shall run."""

    path: Path
    backbone: BackboneFiles = BackboneFiles()
    precision: Precision | None = None
    options: EngineOptions = EngineOptions()  # noqa: RUF009 - frozen


class BundlePredictor:
    """A bundle behind the inspector that the line uses."""

    def __init__(self, inspector: Inspector, choice: ModelChoice) -> None:
        self._inspector, self._choice = inspector, choice

    @property
    def record(self) -> ModelRecord:
        """Say what answers here."""
        bundle = self._inspector.bundle
        manifest, answering = bundle.manifest, self._inspector.description
        return ModelRecord(
            kind="bundle",
            path=str(self._choice.path),
            sha256=bundle.identity,
            method=manifest.method.name,
            backbone=manifest.backbone.name,
            backbone_sha256=manifest.backbone.sha256,
            engine=answering.engine,
            device=answering.device,
            precision=answering.precision,
            height=self.size[0],
            width=self.size[1],
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of the input and of every map."""
        return self._inspector.size

    def predict(self, image: UInt8[ndarray, "height width 3"]) -> Answer:
        """Answer for an RGB picture of exactly the input size."""
        result = self._inspector.inspect(image)
        return Answer(result.score, result.anomaly_map)


@contextmanager
def open_predictor(choice: ModelChoice) -> Iterator[Predictor]:
    """Open a bundle, or a checkpoint with its backbone; PyTorch is imported for checkpoints alone.

    Raises:
        UsageError: The choices do not fit what is at the path.
        ArtifactError: The bundle, checkpoint or backbone cannot be trusted or understood.
        EngineError: The engine or the device is not there.
    """
    if (choice.path / MANIFEST).is_file():
        if choice.backbone.given:
            raise UsageError(
                f"{choice.path}: is a bundle and holds its backbone; leave the backbone's options out"
            )
        with Inspector.open(
            choice.path, precision=choice.precision, options=choice.options
        ) as inspector:
            yield BundlePredictor(inspector, choice)
    else:
        from vipx.evaluation.checkpoints import CheckpointPredictor

        yield CheckpointPredictor(choice)
