"""What is exported: a method with its backbone, from the files and choices that the user names."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vipx.checkpoint import CheckpointDescription
from vipx.errors import CheckpointError, UsageError
from vipx.manifest import (
    BackboneRecord,
    CameraRecord,
    CheckpointRecord,
    InputRecord,
    MethodRecord,
)
from vipx.training.methods.checkpoints import load_method, peek, vision_from
from vipx.training.methods.method import Method
from vipx.training.methods.vip2clip.method import Vip2Clip
from vipx.training.model.backbone import Activation, Backbone, load_clip
from vipx.training.model.vision import Resample, VisionOptions


@dataclass(frozen=True, slots=True)
class BackboneChoice:
    """How the user names the CLIP: a file, an open_clip name and tag, or a name and a file."""

    weights: Path | None = None
    name: str | None = None
    tag: str | None = None
    activation: Activation | None = None


@dataclass(frozen=True, slots=True)
class Overrides:
    """Choices given by the user; None leaves the checkpoint's, or the published code's."""

    image_size: tuple[int, int] | None = None
    feature_layers: tuple[int, ...] | None = None
    pos_embed_resample: Resample | None = None
    cls_ln_post: bool | None = None
    top_k: int | None = None
    sigma: float | None = None


@dataclass(frozen=True, slots=True)
class Detector:
    """A method, its backbone and the checkpoint they came from."""

    backbone: Backbone
    method: Method
    checkpoint: CheckpointRecord


# What the published training and test scripts use (methods/vip2clip.md 1.1, 1.5).
PUBLISHED_VISION = VisionOptions(height=518, width=518, feature_layers=(6, 12, 18, 24))


def load_detector(checkpoint: Path, backbone: BackboneChoice, overrides: Overrides) -> Detector:
    """Load a checkpoint and the backbone it belongs to.

    Raises:
        CheckpointError: A file cannot be trusted or understood, or the backbone is another one than the
            checkpoint was trained with.
        UsageError: The choices contradict one another or the files.
    """
    description = peek(checkpoint)
    vision, activation = PUBLISHED_VISION, backbone.activation
    if description is not None:
        vision = vision_from(description, checkpoint)
        activation = activation or _trained_activation(description.backbone)
    vision = _seen(vision, overrides)
    # The method before the backbone, which is a hundred times larger.
    source = load_method(checkpoint)
    method = source.method
    method.config = _scored(method, overrides)
    loaded = load_clip(weights=backbone.weights, name=backbone.name, tag=backbone.tag)
    clip = Backbone(loaded, vision, activation)
    if description is not None:
        _check_backbone(description, clip, checkpoint)
    _check_fit(method, clip, checkpoint)
    record = CheckpointRecord(sha256=source.sha256, format="vipx" if description else "published")
    return Detector(clip, method, record)


def _check_backbone(description: CheckpointDescription, backbone: Backbone, path: Path) -> None:
    """Compare the backbone with the one that the checkpoint was trained with."""
    trained, given = description.backbone, backbone.identity
    if trained.get("sha256") != given.sha256:
        raise CheckpointError(
            f"{path}: trained with the backbone {trained.get('name')} (sha256 of its parameters "
            f"{str(trained.get('sha256'))[:12]}…), but {given.name} has {given.sha256[:12]}…; "
            "give the same weights"
        )


def _trained_activation(backbone: Mapping[str, object]) -> Activation | None:
    activation = backbone.get("activation")
    return activation if activation in ("quick_gelu", "gelu") else None


def _seen(vision: VisionOptions, overrides: Overrides) -> VisionOptions:
    changes: dict[str, Any] = {
        "feature_layers": overrides.feature_layers,
        "pos_embed_resample": overrides.pos_embed_resample,
        "cls_ln_post": overrides.cls_ln_post,
    }
    if overrides.image_size is not None:
        changes |= {"height": overrides.image_size[0], "width": overrides.image_size[1]}
    return replace(vision, **{name: value for name, value in changes.items() if value is not None})


def _scored(method: Method, overrides: Overrides) -> Any:  # noqa: ANN401 - the configuration of whatever method it is
    """Change how a method scores, where the user says so.

    Raises:
        UsageError: The choice means nothing to this method.
    """
    changes: dict[str, Any] = {"top_k": overrides.top_k, "sigma": overrides.sigma}
    given = {name: value for name, value in changes.items() if value is not None}
    if "top_k" in given and not isinstance(method, Vip2Clip):
        raise UsageError(
            f"--top-k chooses patches for the score of vip2clip; {method.name} has no such"
        )
    return replace(method.config, **given)


def _check_fit(method: Method, backbone: Backbone, path: Path) -> None:
    """Compare the widths that checkpoint and backbone must share."""
    dim, width = method.widths
    if (dim, width) != (backbone.dim, backbone.text.width):
        raise CheckpointError(
            f"{path}: made for features of width {dim} and text tokens of width {width}; "
            f"the backbone has {backbone.dim} and {backbone.text.width}"
        )
    if method.positions != backbone.text.context_length:
        raise CheckpointError(
            f"{path}: its prompts have {method.positions} positions, "
            f"the backbone's text tower {backbone.text.context_length}"
        )
    rows, columns = backbone.vision.grid
    if isinstance(method, Vip2Clip) and method.config.top_k > rows * columns:
        raise UsageError(
            f"--top-k {method.config.top_k} exceeds the {rows * columns} patches of the input; choose less"
        )


def records(
    detector: Detector, camera: tuple[int, int] | None = None
) -> tuple[MethodRecord, BackboneRecord, InputRecord]:
    """Describe a detector for the manifest; `camera` is height and width of the frames, if they are fixed."""
    config, vision = detector.method.config, detector.backbone.vision.options
    method = MethodRecord(
        name=detector.method.name,
        preset=config.preset,
        conditioned=detector.method.conditioned,
        temperature=config.temperature,
        sigma=config.sigma,
        feature_layers=vision.feature_layers,
        config=asdict(config),
    )
    shape = detector.backbone.description()
    backbone = BackboneRecord(
        **(shape | {"patch_size": tuple(shape["patch_size"])}),
        pos_embed_resample=vision.pos_embed_resample,
        cls_ln_post=vision.cls_ln_post,
        pixel_mean=tuple(detector.backbone.pixel_mean.tolist()),
        pixel_deviation=tuple(detector.backbone.pixel_deviation.tolist()),
    )
    rows, columns = detector.backbone.vision.grid
    frames = None if camera is None else CameraRecord(height=camera[0], width=camera[1])
    size = InputRecord(
        height=vision.height, width=vision.width, rows=rows, columns=columns, camera=frames
    )
    return method, backbone, size
