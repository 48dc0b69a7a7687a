"""What a fold is: an exact rewrite with a precondition, checked on the very weights that it rewrites."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import torch
from torch import Tensor

from vipx.errors import GateError, UsageError

Source = TypeVar("Source")
Folded = TypeVar("Folded")

# Folds are equalities: in float64 only rounding may remain, relative to the size of the result.
BOUND = 1e-10


class Fold(ABC, Generic[Source, Folded]):
    """One equality between an unfolded computation and a cheaper one.

    A subclass states its algebra in its docstring, refuses in `requires` what the algebra does not cover,
    rewrites in `call`, and proves in `ensures`, on random inputs, that nothing changed. Sources are float64,
    are not modified, and are rounded to the graph's precision once, after the last fold.
    """

    name: str

    def __call__(self, source: Source) -> Folded:
        """Check, rewrite, prove.

        Raises:
            UsageError: The precondition does not hold.
            GateError: The rewrite changed the result: a bug of vipx, or weights that are not finite.
        """
        self.requires(source)
        folded = self.call(source)
        error = self.ensures(source, folded)
        if not error <= BOUND:  # also catches NaN
            raise GateError(
                f"fold {self.name}: the folded weights differ by {error:.1e} (bound {BOUND:.0e}); "
                "are all weights finite? nothing was written"
            )
        return folded

    @abstractmethod
    def requires(self, source: Source) -> None:
        """Raise UsageError where the algebra does not hold."""

    @abstractmethod
    def call(self, source: Source) -> Folded:
        """Rewrite; the result is float64 too."""

    @abstractmethod
    def ensures(self, source: Source, folded: Folded) -> float:
        """Measure the relative difference on random float64 inputs."""


def relative_difference(expected: Tensor, actual: Tensor) -> float:
    """Give the largest absolute difference, divided by the largest expected value where that exceeds 1."""
    difference = (expected - actual).detach().abs().max()
    return float(difference / expected.detach().abs().max().clamp(min=1.0))


def probe(*shape: int, seed: int = 0) -> Tensor:
    """Draw a seeded float64 input for `ensures`, without touching the global generator."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def refuse(condition: bool, reason: str) -> None:
    """Raise UsageError with `reason` where a precondition does not hold."""
    if condition:
        raise UsageError(reason)
