"""A run's state on disk: where it is, and everything that it needs to go on as if never interrupted."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue
from torch import Tensor

from vipx.errors import CheckpointError, UsageError, short_reason
from vipx.files import write_atomically

STATE = "state.pt"
FORMAT = 1
FREE = frozenset(
    f"run.{name}"
    for name in (
        "workers", "cache", "cache_folder", "checkpoint_every", "tensorboard",
    )
)  # fmt: skip
"""Settings that may change when a run goes on: none of them changes a number that is learned."""

Record = Mapping[str, Mapping[str, JsonValue]]


@dataclass(frozen=True, slots=True)
class Position:
    """How far a run is.

    Attributes:
        epoch: Epochs that are over.
        step: Steps of the present epoch that are over.
        total: Steps of all epochs that are over.
        best: The best measure of the held-out categories so far; None before the first.
        logged: Length of each log file in bytes; what stands behind was written after this state.
    """

    epoch: int = 0
    step: int = 0
    total: int = 0
    best: float | None = None
    logged: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class RunState:
    """A run's position, and the tensors that go with it."""

    position: Position
    method: dict[str, Tensor]
    stepper: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run's numbers follow from, and what must not change when it goes on.

    Attributes:
        settings: The run's settings as plain data.
        backbone: Hash of the backbone's parameters.
        images: Hash of the images' and masks' content in their order.
        world: Number of processes.
    """

    settings: Record
    backbone: str
    images: str
    world: int


def write_state(folder: Path, state: RunState, origin: Origin) -> None:
    """Put a state in the place of the one before, which stays whole until this one is.

    Raises:
        ResourceError: The disk is full or broken.
    """
    position = state.position
    buffer = io.BytesIO()
    torch.save(
        {
            "format": FORMAT,
            "position": {name: getattr(position, name) for name in Position.__slots__},
            "origin": {name: getattr(origin, name) for name in Origin.__slots__},
            "method": state.method,
            "stepper": state.stepper,
            "random": _random_state(),
        },
        buffer,
    )
    write_atomically(folder / STATE, buffer.getvalue())


def read_state(folder: Path, origin: Origin) -> RunState | None:
    """Read the state of a run that goes on, and set the generators to it; None if there is none yet.

    Raises:
        UsageError: A setting, the images or the backbone are not those that the run began with.
        CheckpointError: The file is broken.
    """
    path = folder / STATE
    for leftover in folder.glob(f".{STATE}.partial-*"):
        leftover.unlink(missing_ok=True)
    if not path.exists():
        return None
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        before = Origin(**loaded["origin"])
        state = RunState(Position(**loaded["position"]), loaded["method"], loaded["stepper"])
        random = loaded["random"]
    except Exception as error:
        # torch raises a dozen types here; each means that the file is not one of ours.
        reason = short_reason(error)
        raise CheckpointError(
            f"{path}: not a run's state ({type(error).__name__}: {reason}); start a new run"
        ) from error
    _check_origin(folder, before, origin)
    torch.set_rng_state(random["cpu"])
    if torch.cuda.is_available() and random["cuda"]:
        torch.cuda.set_rng_state_all(random["cuda"])
    return state


def _random_state() -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _check_origin(folder: Path, before: Origin, now: Origin) -> None:
    old, new = _flat(before.settings), _flat(now.settings)
    for name in sorted(old.keys() | new.keys()):
        if (
            name not in FREE
            and not name.startswith("evaluation.")
            and old.get(name) != new.get(name)
        ):
            raise UsageError(
                f"{folder}: the run began with {name} = {old.get(name)!r}, now it is {new.get(name)!r}; "
                "resume with the same, or start a new run"
            )
    if before.backbone != now.backbone:
        raise UsageError(f"{folder}: the run began with another backbone; give the same weights")
    if before.images != now.images:
        raise UsageError(
            f"{folder}: the run began with other images or masks; restore them, or start a new run"
        )
    if before.world != now.world:
        raise UsageError(
            f"{folder}: the run began with {before.world} processes, now there are {now.world}"
        )


def _flat(record: Record) -> dict[str, JsonValue]:
    return {f"{s}.{name}": value for s, values in record.items() for name, value in values.items()}
