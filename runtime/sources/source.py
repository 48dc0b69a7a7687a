"""What every source does: hand over pictures, one after the other, and say how it is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import UInt8
from numpy import ndarray


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture for inspection.

    Attributes:
        image: The bytes of a picture file, or RGB pixels.
        part_id: What the source calls the part.
        source: `folder:NAME` or `camera:NAME`.
    """

    image: bytes | UInt8[ndarray, "height width 3"]
    part_id: str
    source: str


Deliver = Callable[[Picture], Awaitable[None]]
"""Inspects a picture; returns once its result is answered, raises VipxError where it cannot be inspected."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """How a source is.

    Attributes:
        name: As configured.
        kind: `folder` or `camera`.
        alarm: What is wrong, with the remedy; None where it works.
        delivered: Pictures handed over since the start.
        failed: Pictures that could not be inspected.
    """

    name: str
    kind: str
    alarm: str | None
    delivered: int
    failed: int


@runtime_checkable
class Source(Protocol):
    """Delivers pictures until it is cancelled; what goes wrong outside is an alarm, never its end."""

    @property
    def state(self) -> SourceState:
        """Say how it is."""

    async def run(self, deliver: Deliver) -> None:
        """Deliver pictures until the task is cancelled."""
