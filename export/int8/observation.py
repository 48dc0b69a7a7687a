"""Watches an encoder's linear layers while images pass, in memory that does not grow with their number."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor, nn

from vipx.errors import GateError
from vipx.export.blocks import Affine, Block
from vipx.export.encoder import Encoder
from vipx.ranges import PARTS

Images = Iterable[UInt8[ndarray, "height width 3"]]
Watch = Callable[[str, Float[Tensor, "*rows channels"]], None]
BINS = 4096


@dataclass(slots=True)
class Histogram:
    """Counts of magnitudes in equal bins from 0 to `top`, which doubles when something larger comes.

    Attributes:
        counts: Of each bin.
        top: Upper end of the last bin; 0 until something other than zero was seen.
        largest: Magnitude seen.
    """

    counts: Float[Tensor, "bins"] = field(
        default_factory=lambda: torch.zeros(BINS, dtype=torch.float64)
    )
    top: float = 0.0
    largest: float = 0.0

    def add(self, values: Float[Tensor, "*any"]) -> None:
        """Count the magnitudes of a tensor."""
        magnitudes = values.detach().abs().flatten().float()
        largest = float(magnitudes.max())
        self.largest = max(self.largest, largest)
        if self.top == 0.0:
            self.top = largest
        while largest > self.top:
            self._double()
        if self.top > 0.0:
            self.counts += torch.histc(magnitudes, BINS, 0.0, self.top).double()

    def _double(self) -> None:
        """Merge neighbours, so that every count stays in the bin where it belongs."""
        merged = self.counts.unflatten(0, (-1, 2)).sum(dim=1)
        self.counts = torch.cat([merged, torch.zeros_like(merged)])
        self.top *= 2


@dataclass(slots=True)
class Extremes:
    """The smallest and the largest value of every channel."""

    low: Float[Tensor, "channels"]
    high: Float[Tensor, "channels"]

    def widen(self, other: "Extremes") -> None:
        """Take others in."""
        self.low = torch.minimum(self.low, other.low)
        self.high = torch.maximum(self.high, other.high)


def channel_extremes(encoder: Encoder, images: Images) -> dict[str, Extremes]:
    """Find the extremes of every channel of every input of linear layers."""
    found: dict[str, Extremes] = {}

    def watch(name: str, values: Float[Tensor, "*rows channels"]) -> None:
        rows = values.detach().flatten(0, -2)
        seen = Extremes(*torch.aminmax(rows, dim=0))
        found.setdefault(name, seen).widen(seen)

    _run(encoder, images, watch)
    return found


def histograms(encoder: Encoder, images: Images) -> dict[str, Histogram]:
    """Count the magnitudes of every input of linear layers."""
    found: dict[str, Histogram] = {}

    def watch(name: str, values: Float[Tensor, "*rows channels"]) -> None:
        found.setdefault(name, Histogram()).add(values)

    _run(encoder, images, watch)
    return found


def readers(block: Block) -> dict[str, list[Affine]]:
    """Give the linear layers behind each input of a block, by the input's part of the name."""
    found = ([block.query, block.key, block.value], [block.output], [block.up], [block.down])
    return dict(zip(PARTS, found, strict=True))


def blocks_of(encoder: Encoder) -> Iterator[Block]:
    """Walk the blocks in order, with their type."""
    for block in encoder.blocks:
        assert isinstance(block, Block)
        yield block


@torch.no_grad()
def _run(encoder: Encoder, images: Images, watch: Watch) -> None:
    with _watched(encoder, watch):
        for image in images:
            feature, patches = encoder(torch.from_numpy(np.ascontiguousarray(image[None])))
            if not bool(torch.isfinite(feature).all() and torch.isfinite(patches).all()):
                raise GateError("calibration: the encoder gives values that are not finite")


@contextmanager
def _watched(encoder: Encoder, watch: Watch) -> Iterator[None]:
    with ExitStack() as hooks:
        for number, block in enumerate(blocks_of(encoder)):
            for part, layers in readers(block).items():
                hook = _hook(f"blocks.{number}.{part}", watch)
                hooks.enter_context(layers[0].register_forward_pre_hook(hook))
        yield


def _hook(name: str, watch: Watch) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def before(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        watch(name, inputs[0])

    return before
