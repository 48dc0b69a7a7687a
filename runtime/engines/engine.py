"""The protocol of an engine: one graph, opened once, run many times."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from numpy import ndarray

Device = Literal["cpu", "cuda"]
Tensors = Mapping[str, ndarray]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Where a graph runs.

    Attributes:
        device: `cpu` or `cuda`. A device that is not there is an error, never another device.
        threads: Threads within one operator on the CPU; None leaves it to the engine.
    """

    device: Device = "cpu"
    threads: int | None = None


@runtime_checkable
class Engine(Protocol):
    """Runs one graph; use as `with engine:`, or call `close`."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the graph's outputs."""

    def run(self, feeds: Tensors) -> dict[str, ndarray]:
        """Run the graph on arrays by input name; the results belong to the caller."""

    def close(self) -> None:
        """Free the device's memory; the engine cannot be used afterwards."""
