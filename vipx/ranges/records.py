"""The file of ranges, and what its parts are called."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from vipx.errors import ArtifactError, InputError
from vipx.files import write_atomically
from vipx.manifest import BackboneRecord, InputRecord, Record, Sha256, first_fault

Rule = Literal["mse", "percentile", "max"]
Positive = Annotated[float, Field(gt=0)]
PARTS = ("attention", "output", "up", "down")
SHIFTED = ("attention", "up")  # what a norm gives; its bias takes the shift at no cost


@dataclass(frozen=True, slots=True)
class RangeChoice:
    """How ranges are found (docs/int8.md has what the choices gave).

    Attributes:
        rule: How a limit follows from the magnitudes.
        alpha: Share of the difficulty that smoothing moves from activations to weights.
    """

    rule: Rule = "max"
    alpha: float = 0.8


class InputRange(Record):
    """One input of linear layers.

    Attributes:
        limit: The magnitude that the integer 127 stands for, after shift and division.
        smoothing: Divisor of each channel, folded into whatever gives the input.
        shift: What is taken from each channel before the division, folded into a norm; None behind none.
    """

    limit: Positive
    smoothing: tuple[Positive, ...]
    shift: tuple[float, ...] | None


class Ranges(Record):
    """The ranges of one encoder.

    Attributes:
        encoder: `encoder_identity` of the encoder that was watched.
        rule: How a limit was found from the magnitudes.
        alpha: Share of the difficulty that smoothing moves from activations to weights.
        images: How many were watched.
        inputs: Every input of linear layers, by the names of `input_names`.
    """

    schema_version: Literal[1] = 1
    encoder: Sha256
    rule: Rule
    alpha: Annotated[float, Field(ge=0, le=1)]
    images: Annotated[int, Field(ge=1)]
    inputs: dict[str, InputRange]

    @model_validator(mode="after")
    def _whole(self) -> "Ranges":
        if set(self.inputs) != set(input_names(len(self.inputs) // len(PARTS))):
            raise ValueError("expected attention, output, up and down of every block, from 0")
        return self


def input_names(blocks: int) -> tuple[str, ...]:
    """Name the inputs of all linear layers of a vision tower, in the order in which it computes them."""
    return tuple(f"blocks.{number}.{part}" for number in range(blocks) for part in PARTS)


def encoder_identity(backbone: BackboneRecord, size: InputRecord) -> str:
    """Name what ranges depend on: the backbone's parameters and settings, and the input's size."""
    told = f"{backbone.model_dump_json()} {size.height}x{size.width}"
    return hashlib.sha256(told.encode()).hexdigest()


def read_ranges(path: Path) -> Ranges:
    """Read a file of ranges.

    Raises:
        InputError: There is no such file.
        ArtifactError: It is not one that this vipx understands.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    try:
        return Ranges.model_validate_json(text)
    except ValidationError as error:
        raise ArtifactError(
            f"{path}: no ranges that this vipx understands: {first_fault(error)}; collect them again"
        ) from error


def write_ranges(path: Path, ranges: Ranges) -> None:
    """Write a file of ranges, whole or not at all."""
    write_atomically(path, (ranges.model_dump_json() + "\n").encode())
