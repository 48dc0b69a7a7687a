"""A checkpoint: training's result, as safetensors and JSON in one folder; no torch is needed to read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from vipx.errors import CheckpointError
from vipx.folders import whole_folder
from vipx.hashing import file_sha256
from vipx.manifest import first_fault

DESCRIPTION = "checkpoint.json"
PARAMETERS = "parameters.safetensors"


class CheckpointDescription(BaseModel):
    """What `checkpoint.json` says; unknown keys and wrong types are errors.

    Attributes:
        schema_version: Version of this record.
        vipx_version: The program that wrote it.
        method: Name of the method.
        config: The method's configuration.
        vision: Choices that change the vision tower's numbers (input size, feature layers, ...).
        backbone: Identity of the CLIP it was trained with: name, sha256, activation.
        training: How it was made; free-form, for people.
        parameters_sha256: Hash of the parameters' file.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1
    vipx_version: str
    method: Literal["vip2clip", "tokenclip"]
    config: dict[str, JsonValue]
    vision: dict[str, JsonValue]
    backbone: dict[str, JsonValue]
    training: dict[str, JsonValue]
    parameters_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint in memory: its description, and its float32 parameters by name."""

    description: CheckpointDescription
    parameters: Mapping[str, np.ndarray]


def write_checkpoint(
    path: Path,
    parameters: Mapping[str, np.ndarray],
    *,
    overwrite: bool = False,
    **description: object,
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: The folder to make.
        parameters: Float32 arrays by name.
        overwrite: Replace what is at `path`.
        **description: The fields of CheckpointDescription but versions and hash.
    """
    from safetensors.numpy import (
        save_file,
    )  # not on an inspection PC, which only reads descriptions

    with whole_folder(path, overwrite=overwrite) as folder:
        contiguous = {name: np.ascontiguousarray(value) for name, value in parameters.items()}
        save_file(contiguous, folder / PARAMETERS)
        record = CheckpointDescription.model_validate(
            description | {"parameters_sha256": file_sha256(folder / PARAMETERS)}
        )
        text = record.model_dump_json(indent=2) + "\n"
        (folder / DESCRIPTION).write_text(text, encoding="utf-8")


def read_description(path: Path) -> CheckpointDescription:
    """Read `checkpoint.json` alone, and check the parameters against its hash.

    Raises:
        CheckpointError: The folder is not a whole checkpoint.
    """
    for name in (DESCRIPTION, PARAMETERS):
        if not (path / name).is_file():
            raise CheckpointError(f"{path / name}: missing; expected a checkpoint written by vipx")
    try:
        text = (path / DESCRIPTION).read_bytes()
        description = CheckpointDescription.model_validate_json(text)
    except ValidationError as error:
        raise CheckpointError(
            f"{path / DESCRIPTION}: not a checkpoint that this vipx understands: {first_fault(error)}"
        ) from error
    if file_sha256(path / PARAMETERS) != description.parameters_sha256:
        raise CheckpointError(
            f"{path / PARAMETERS}: its sha256 is not {DESCRIPTION}'s; copy it again"
        )
    return description


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint.

    Raises:
        CheckpointError: The folder is not a whole checkpoint.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    description = read_description(path)
    try:
        return Checkpoint(description, load_file(path / PARAMETERS))
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path / PARAMETERS}: not a safetensors file ({error})") from error
