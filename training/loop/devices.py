"""Where a run computes: one device, or one of several processes that torchrun started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor

from vipx.errors import EngineError, UsageError

PATIENCE = timedelta(hours=6)
"""How long processes wait for the first one, which alone measures the held-out categories."""


@dataclass(frozen=True, slots=True)
class Place:
    """One process's device, and its place among all processes."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            dist.barrier()

    def summed(self, values: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """Add up a tensor over all processes."""
        if self.world > 1:
            dist.all_reduce(values)
        return values


@contextmanager
def place_from(name: str) -> Iterator[Place]:
    """Take the device by its name, and join the other processes where torchrun started several.

    Raises:
        EngineError: The device is not there.
        UsageError: The name is none, or torchrun's variables are incomplete.
    """
    world = _number("WORLD_SIZE", 1)
    if world == 1:
        yield Place(_device(name, 0))
        return
    rank, local = _number("RANK", None), _number("LOCAL_RANK", None)
    device = _device(name, local)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, rank=rank, world_size=world, timeout=PATIENCE)
    try:
        yield Place(device, rank, world)
    finally:
        dist.destroy_process_group()


def _number(variable: str, default: int | None) -> int:
    text = os.environ.get(variable, "")
    if not text and default is not None:
        return default
    if not text.isdecimal():
        raise UsageError(
            f"{variable}={text!r} in the environment; start several processes with torchrun"
        )
    return int(text)


def _device(name: str, local: int) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"run.device: expected cpu, cuda or cuda:N, got {name!r}") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"run.device: expected cpu, cuda or cuda:N, got {name!r}")
    if device.type == "cpu":
        return torch.device("cpu")
    number = int(name.partition(":")[2] or local)
    if number >= torch.cuda.device_count():
        raise EngineError(
            f"run.device {name}: torch sees {torch.cuda.device_count()} CUDA devices; choose another or cpu"
        )
    return torch.device("cuda", number)
