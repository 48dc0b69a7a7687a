"""What is exported: a method with its backbone, from the files and choices that the user names."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vipx.checkpoint import CheckpointDescription
from vipx.errors import CheckpointError, UsageError
from vipx.manifest import BackboneRecord, CheckpointRecord, InputRecord, MethodRecord
from vipx.training.methods.checkpoints import config_from, load_method, peek, vision_from
from vipx.training.methods.vip2clip.configuration import Vip2ClipConfig
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
    method: Vip2Clip
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
    config, vision, activation = Vip2ClipConfig(), PUBLISHED_VISION, backbone.activation
    if description is not None:
        config = config_from(description, checkpoint)
        vision = vision_from(description, checkpoint)
        activation = activation or _trained_activation(description.backbone)
    config, vision = _overridden(config, vision, overrides)
    source = load_method(checkpoint, config)  # before the backbone, which is a hundred times larger
    method = _with_config(source.method, overrides)
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


def _overridden(
    config: Vip2ClipConfig, vision: VisionOptions, overrides: Overrides
) -> tuple[Vip2ClipConfig, VisionOptions]:
    scoring: dict[str, Any] = {"top_k": overrides.top_k, "sigma": overrides.sigma}
    tower: dict[str, Any] = {
        "feature_layers": overrides.feature_layers,
        "pos_embed_resample": overrides.pos_embed_resample,
        "cls_ln_post": overrides.cls_ln_post,
    }
    if overrides.image_size is not None:
        tower |= {"height": overrides.image_size[0], "width": overrides.image_size[1]}
    return (
        replace(config, **{name: value for name, value in scoring.items() if value is not None}),
        replace(vision, **{name: value for name, value in tower.items() if value is not None}),
    )


def _with_config(method: Vip2Clip, overrides: Overrides) -> Vip2Clip:
    method.config, _ = _overridden(method.config, PUBLISHED_VISION, overrides)
    return method


def _check_fit(method: Vip2Clip, backbone: Backbone, path: Path) -> None:
    """Compare the widths that checkpoint and backbone must share."""
    dim, width = method.fgp.query.weight.shape[0], method.ica.template.shape[2]
    if (dim, width) != (backbone.dim, backbone.text.width):
        raise CheckpointError(
            f"{path}: made for features of width {dim} and text tokens of width {width}; "
            f"the backbone has {backbone.dim} and {backbone.text.width}"
        )
    if method.ica.template.shape[1] != backbone.text.context_length:
        raise CheckpointError(
            f"{path}: its prompts have {method.ica.template.shape[1]} positions, "
            f"the backbone's text tower {backbone.text.context_length}"
        )
    rows, columns = backbone.vision.grid
    if method.config.top_k > rows * columns:
        raise UsageError(
            f"--top-k {method.config.top_k} exceeds the {rows * columns} patches of the input; choose less"
        )


def records(detector: Detector) -> tuple[MethodRecord, BackboneRecord, InputRecord]:
    """Describe a detector for the manifest."""
    config, vision = detector.method.config, detector.backbone.vision.options
    scoring = {
        name: getattr(config, name) for name in MethodRecord.model_fields if hasattr(config, name)
    }
    method = MethodRecord(
        name=detector.method.method, feature_layers=vision.feature_layers, **scoring
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
    size = InputRecord(height=vision.height, width=vision.width, rows=rows, columns=columns)
    return method, backbone, size
