"""Checkpoints in PyTorch, answering as bundles do: the reference that every export is compared with."""

import torch
from jaxtyping import UInt8
from numpy import ndarray

from vipx.errors import CheckpointError, EngineError, UsageError
from vipx.evaluation.predictors import Answer, ModelChoice
from vipx.evaluation.results import ModelRecord
from vipx.export import BackboneChoice, Overrides, load_detector
from vipx.training.methods.method import predict


class CheckpointPredictor:
    """A checkpoint with its backbone, in float32."""

    def __init__(self, choice: ModelChoice) -> None:
        """Load both, on the device.

        Raises:
            UsageError: Another precision is asked for.
            EngineError: The device is not there.
            CheckpointError: A file cannot be trusted or understood.
        """
        _check(choice)
        backbone = BackboneChoice(
            choice.backbone.weights, choice.backbone.name, choice.backbone.tag
        )
        self._choice = choice
        self._detector = load_detector(choice.path, backbone, Overrides())
        self._device = choice.options.device or "cpu"
        self._detector.backbone.to(self._device)
        self._detector.method.to(self._device).eval()

    @property
    def record(self) -> ModelRecord:
        """Say what answers here."""
        identity = self._detector.backbone.identity
        return ModelRecord(
            kind="checkpoint",
            path=str(self._choice.path),
            sha256=self._detector.checkpoint.sha256,
            method=self._detector.method.name,
            backbone=identity.name,
            backbone_sha256=identity.sha256,
            engine="torch",
            device=self._device,
            precision="fp32",
            height=self.size[0],
            width=self.size[1],
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of the input and of every map."""
        options = self._detector.backbone.vision.options
        return options.height, options.width

    def predict(self, image: UInt8[ndarray, "height width 3"]) -> Answer:
        """Answer for an RGB picture of exactly the input size."""
        batch = torch.from_numpy(image)[None].to(self._device)
        result = predict(self._detector.backbone, self._detector.method, batch)
        return Answer(float(result.scores[0]), result.anomaly_maps[0])


def _check(choice: ModelChoice) -> None:
    if not choice.path.exists():
        raise CheckpointError(f"{choice.path}: no such checkpoint or bundle; check the path")
    if choice.precision not in (None, "fp32"):
        raise UsageError(
            f"{choice.path}: a checkpoint is evaluated in fp32; "
            f"`vipx export --precision {choice.precision}` makes a bundle that can be evaluated"
        )
    if choice.options.engine is not None:
        raise UsageError(f"{choice.path}: a checkpoint runs in PyTorch; leave --engine out")
    if choice.options.device == "cuda" and not torch.cuda.is_available():
        raise EngineError("PyTorch finds no CUDA device; use --device cpu")
