"""Watches an encoder's linear layers while images pass, in memory that does not grow with their number."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor, nn

from vipx.errors import GateError
from vipx.export.blocks import Affine, Block
from vipx.export.encoder import Encoder
from vipx.ranges import PARTS, Extremes, Histogram

Images = Iterable[UInt8[ndarray, "height width 3"]]
Watch = Callable[[str, Float[Tensor, "*rows channels"]], None]


def channel_extremes(encoder: Encoder, images: Images) -> dict[str, Extremes]:
    """Find the extremes of every channel of every input of linear layers."""
    found: dict[str, Extremes] = {}

    def watch(name: str, values: Float[Tensor, "*rows channels"]) -> None:
        seen = Extremes.of(values.detach().flatten(0, -2).numpy())
        found.setdefault(name, seen).widen(seen)

    _run(encoder, images, watch)
    return found


def histograms(encoder: Encoder, images: Images) -> dict[str, Histogram]:
    """Count the magnitudes of every input of linear layers."""
    found: dict[str, Histogram] = {}

    def watch(name: str, values: Float[Tensor, "*rows channels"]) -> None:
        found.setdefault(name, Histogram()).add(values.detach().numpy())

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
