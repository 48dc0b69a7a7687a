"""A run's settings as plain frozen records, one for each section of the file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vipx.errors import UsageError
from vipx.training.methods.method import MethodName
from vipx.training.model.backbone import Activation
from vipx.training.model.vision import VisionOptions

Precision = Literal["fp32", "bf16", "fp16"]
FeaturePrecision = Literal["float16", "float32"]
Part = Literal["train", "test", "all"]


@dataclass(frozen=True, slots=True)
class DataSettings:
    """Which images are learned from.

    Attributes:
        dataset: Name of the layout.
        root: Its folder.
        categories: Those to learn from; none named means all but the held-out ones.
        split: The published training takes the test split, which has the defects.
        held_out: Categories that are never learned from, and measured after each epoch.
        held_out_split: Their images that are measured.
        synthesize: Share of the good images that are shown with a drawn defect instead, anew each epoch.
        variants: Different drawn defects that an image can get; each is computed and cached once.
    """

    dataset: str
    root: Path
    categories: tuple[str, ...] = ()
    split: Part = "test"
    held_out: tuple[str, ...] = ()
    held_out_split: Part = "test"
    synthesize: float = 0.0
    variants: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.synthesize <= 1:
            raise UsageError(f"data.synthesize: expected a share in [0, 1], got {self.synthesize}")
        _at_least_one("data.variants", self.variants)
        if both := sorted(set(self.categories) & set(self.held_out)):
            raise UsageError(
                f"data.held_out: {', '.join(both)} cannot be learned from and held out at once"
            )


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """Images on which the rows of an ablation are measured; all categories if none is named."""

    dataset: str
    root: Path
    categories: tuple[str, ...] = ()
    split: Part = "test"


@dataclass(frozen=True, slots=True)
class MethodSettings:
    """The method's name and its configuration, a frozen record of the method's own."""

    name: MethodName
    config: Any


@dataclass(frozen=True, slots=True)
class BackboneSettings:
    """The frozen CLIP: a file of weights, an open_clip name and tag, or a name and a file.

    Attributes:
        weights: File of the weights.
        name: open_clip's model name.
        tag: open_clip's weights of that name; `random` to measure speed alone.
        activation: Overrides the model's own.
    """

    weights: Path | None = None
    name: str | None = None
    tag: str | None = None
    activation: Activation | None = None


@dataclass(frozen=True, slots=True)
class OptimiserSettings:
    """How the parameters are learned.

    Attributes:
        rates: Learning rate of each group of the method's parameters.
        betas: Of Adam.
        epochs: Passes over the images.
        batch: Images of a step, on all devices together.
        accumulate: Parts into which each device cuts its share of a step, to need less memory.
        precision: Of the towers' arithmetic; losses and parameters are always float32.
        features: Of the patch features that are learned from, whether they come from the cache or not; float32
            is as published and takes twice the disk.
        seed: Of parameters, order and drawn defects.
        clip_norm: Longest gradient; 0 clips nothing, as published.
        pixel_weight: Weight of focal and Dice terms beside the cross-entropy.
    """

    rates: Mapping[str, float]
    betas: tuple[float, float]
    epochs: int
    batch: int
    seed: int
    pixel_weight: float
    accumulate: int = 1
    precision: Precision = "fp32"
    features: FeaturePrecision = "float16"
    clip_norm: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "accumulate"):
            _at_least_one(f"optimiser.{name}", getattr(self, name))
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"optimiser.seed: expected 0 to {2**32 - 1}, got {self.seed}")
        for name, rate in self.rates.items():
            if not rate > 0:
                raise UsageError(f"optimiser.rates.{name}: expected more than 0, got {rate}")
        if not (self.clip_norm >= 0 and self.pixel_weight >= 0):
            raise UsageError("optimiser: expected clip_norm and pixel_weight of at least 0")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UsageError(f"optimiser.betas: expected two in [0, 1), got {list(self.betas)}")


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Where and how a run works; but for the device, none of this changes what is learned.

    Attributes:
        device: `cpu`, `cuda` or `cuda:N`; one that is not there is an error.
        workers: Threads that read images and cached features.
        cache: Whether features are kept on disk.
        cache_folder: Where; empty for `vipx/features` in the user's cache folder.
        checkpoint_every: Steps after which the run's state is saved, besides every end of an epoch.
        validate_every: Epochs between measurements of the held-out categories.
        tensorboard: Whether TensorBoard's events are written beside the CSV files.
    """

    device: str = "cpu"
    workers: int = 2
    cache: bool = True
    cache_folder: str = ""
    checkpoint_every: int = 200
    validate_every: int = 1
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name in ("workers", "checkpoint_every", "validate_every"):
            _at_least_one(f"run.{name}", getattr(self, name))


@dataclass(frozen=True, slots=True)
class Settings:
    """Every choice of a run."""

    data: DataSettings
    method: MethodSettings
    optimiser: OptimiserSettings
    backbone: BackboneSettings
    vision: VisionOptions
    run: RunSettings = field(default_factory=RunSettings)
    evaluation: EvaluationSettings | None = None


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise UsageError(f"{name}: expected at least 1, got {value}")
