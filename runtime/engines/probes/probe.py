"""The protocol of a probe: an encoder as far as some of its inner tensors, opened once, run many times."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float32, UInt8
from numpy import ndarray


@dataclass(frozen=True, slots=True)
class Probed:
    """One inner tensor of one run; its values are valid until the next one is asked for."""

    tensor: str
    values: Float32[ndarray, "..."]


@runtime_checkable
class Probe(Protocol):
    """Computes what it was opened for and nothing behind it; from one thread at a time."""

    def run(self, image: UInt8[ndarray, "height width 3"]) -> Iterator[Probed]:
        """Run on one image at the size that the encoder takes; gives every tensor once, in the order asked for.

        Raises:
            EngineError: The engine failed.
        """

    def close(self) -> None:
        """Free the engine's memory; the probe cannot be used afterwards. Closing twice does no harm."""
