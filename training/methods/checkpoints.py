"""From checkpoints to models and back: vipx's own folder, or the published pickle."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import JsonValue

from vipx import __version__
from vipx.checkpoint import (
    CheckpointDescription,
    read_checkpoint,
    read_description,
    write_checkpoint,
)
from vipx.errors import CheckpointError, VipxError, short_reason
from vipx.hashing import file_sha256
from vipx.training.methods.method import Method
from vipx.training.methods.registry import METHODS
from vipx.training.methods.vip2clip.configuration import Vip2ClipConfig
from vipx.training.methods.vip2clip.published import method_from_published
from vipx.training.model.backbone import Backbone
from vipx.training.model.vision import VisionOptions

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoadedMethod:
    """A method with its learned parameters, and what the checkpoint says of its surroundings.

    `description` is None for the published format, which holds parameters alone. `sha256` is the hash of the
    published file, or of our parameters' file.
    """

    method: Method
    description: CheckpointDescription | None
    sha256: str


def save_method(
    path: Path,
    method: Method,
    backbone: Backbone,
    *,
    training: Mapping[str, JsonValue],
    overwrite: bool = False,
) -> None:
    """Write a checkpoint of the learned parameters, naming the backbone that they belong to."""
    parameters = {name: value.detach().cpu().numpy() for name, value in method.state_dict().items()}
    write_checkpoint(
        path,
        parameters,
        overwrite=overwrite,
        vipx_version=__version__,
        method=method.name,
        config=_plain(asdict(method.config)),
        vision=_plain(asdict(backbone.vision.options)),
        backbone=asdict(backbone.identity) | {"embed_dim": backbone.dim},
        training=dict(training),
    )


def peek(path: Path) -> CheckpointDescription | None:
    """Read what a checkpoint says of its backbone and input; None for the published format."""
    return read_description(path) if path.is_dir() else None


def load_method(path: Path) -> LoadedMethod:
    """Load a checkpoint folder of vipx, or a published `.pth`.

    Args:
        path: Folder or file; the published format is given the published scoring choices.

    Raises:
        CheckpointError: The checkpoint cannot be trusted or understood.
    """
    if not path.is_dir():
        published = method_from_published(path, Vip2ClipConfig())
        return LoadedMethod(published.eval(), None, file_sha256(path))
    checkpoint = read_checkpoint(path)
    description = checkpoint.description
    state = {name: torch.from_numpy(value) for name, value in checkpoint.parameters.items()}
    try:
        method = METHODS[description.method].restored(
            config_from(description, path), _embed_dim(description), state
        )
    except (KeyError, RuntimeError, ValueError) as error:
        reason = short_reason(error)
        raise CheckpointError(
            f"{path}: parameters do not fit the configuration: {reason}"
        ) from error
    return LoadedMethod(method.eval(), description, description.parameters_sha256)


def describe_published(path: Path) -> dict[str, JsonValue]:
    """Say what a published `.pth` holds, for `vipx show`.

    Raises:
        CheckpointError: The file is not such a checkpoint.
    """
    method = method_from_published(path, Vip2ClipConfig())
    config = method.config
    return {
        "kind": "published checkpoint",
        "method": method.name,
        "sha256": file_sha256(path),
        "context_tokens": config.context_tokens,
        "class_tokens": config.class_tokens,
        "feature_width": method.widths[0],
        "text_width": method.widths[1],
        # The published training code writes the abnormal word into both prompts.
        "state_words_differ": config.normal_word != config.abnormal_word,
        "parameters": sum(p.numel() for p in method.parameters()),
    }


def config_from(description: CheckpointDescription, path: Path) -> Any:  # noqa: ANN401 - the configuration of whatever method it is
    """Read the method's configuration from a description."""
    return _record(METHODS[description.method].config, description.config, path)


def _embed_dim(description: CheckpointDescription) -> int:
    dim = description.backbone["embed_dim"]
    if not isinstance(dim, int) or dim < 1:
        raise ValueError(f"backbone.embed_dim: expected a number of at least 1, got {dim!r}")
    return dim


def vision_from(description: CheckpointDescription, path: Path) -> VisionOptions:
    """Read the vision tower's options from a description."""
    return _record(VisionOptions, description.vision, path)


def _record(kind: type[T], values: Mapping[str, Any], path: Path) -> T:
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := set(values) - known:
        raise CheckpointError(
            f"{path}: unknown settings {sorted(unknown)}; use the vipx that wrote it"
        )
    frozen: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in values.items()
    }
    try:
        return kind(**frozen)
    except (TypeError, VipxError) as error:
        raise CheckpointError(f"{path}: settings cannot be used: {error}") from error


def _plain(values: Mapping[str, Any]) -> dict[str, JsonValue]:
    return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}
