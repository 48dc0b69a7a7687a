"""From calibration images to ranges, and from ranges to an encoder that is ready to be rounded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from vipx.errors import UsageError
from vipx.export.blocks import Affine
from vipx.export.encoder import Encoder
from vipx.export.folds.smoothing import Change, SmoothableBlock, SmoothingFold
from vipx.export.int8.clipping import limit_of
from vipx.export.int8.observation import (
    Extremes,
    Images,
    blocks_of,
    channel_extremes,
    histograms,
    readers,
)
from vipx.ranges import PARTS, SHIFTED, InputRange, Ranges, Rule, shift_of, smoothing_of

# What attention mixes has no channels that always outlie; other pictures bring others (docs/int8.md).
_ALPHA_OUTPUT = 0.5


@dataclass(frozen=True, slots=True)
class RangeChoice:
    """How ranges are found (docs/int8.md has what the choices gave).

    Attributes:
        rule: How a limit follows from the magnitudes.
        alpha: Share of the difficulty that smoothing moves from activations to weights.
    """

    rule: Rule = "max"
    alpha: float = 0.8


@dataclass(frozen=True, slots=True)
class Linear:
    """One linear layer of an encoder.

    Attributes:
        name: Of the module.
        source: Of its input, as ranges name it.
        layer: Its weights.
    """

    name: str
    source: str
    layer: Affine


def linears_of(encoder: Encoder) -> Iterator[Linear]:
    """Walk the linear layers of all blocks in the order in which the encoder computes them."""
    for number, block in enumerate(blocks_of(encoder)):
        names = {id(module): name for name, module in block.named_children()}
        for part, layers in readers(block).items():
            for layer in layers:
                name = f"blocks.{number}.{names[id(layer)]}"
                yield Linear(name, f"blocks.{number}.{part}", layer)


def collect_ranges(
    encoder: Encoder,
    images: Images,
    identity: str,
    choice: RangeChoice = RangeChoice(),
) -> Ranges:
    """Watch an encoder on images, in two passes: one for shifts and divisors, one for the limits behind them.

    Args:
        encoder: Float32, not yet smoothed; afterwards it is.
        images: RGB at the input size, which can be walked twice.
        identity: `encoder_identity`.
        choice: How.

    Raises:
        GateError: The encoder gives values that are not finite, or an input is always zero.
    """
    changes = _changes(encoder, channel_extremes(encoder, images), choice.alpha)
    _apply(encoder, changes)
    seen = histograms(encoder, images)
    inputs = {
        name: InputRange(
            limit=limit_of(seen[name], choice.rule),
            smoothing=tuple(change.divisors.tolist()),
            shift=None if change.shift is None else tuple(change.shift.tolist()),
        )
        for name, change in changes.items()
    }
    count = sum(1 for _ in images)
    return Ranges(
        encoder=identity, rule=choice.rule, alpha=choice.alpha, images=count, inputs=inputs
    )


def smooth(encoder: Encoder, ranges: Ranges, identity: str) -> Encoder:
    """Fold the shifts and divisors of collected ranges into a float32 encoder, in place.

    Raises:
        UsageError: The ranges belong to another encoder.
    """
    if ranges.encoder != identity:
        raise UsageError(
            "--ranges: were collected for another backbone, setting or input size; collect them again "
            "with --calibration"
        )
    changes = {
        name: Change(
            torch.tensor(each.smoothing, dtype=torch.float64),
            None if each.shift is None else torch.tensor(each.shift, dtype=torch.float64),
        )
        for name, each in ranges.inputs.items()
    }
    _apply(encoder, changes)
    return encoder


def _changes(encoder: Encoder, extremes: Mapping[str, Extremes], alpha: float) -> dict[str, Change]:
    found = {}
    for number, block in enumerate(blocks_of(encoder)):
        for part, layers in readers(block).items():
            name = f"blocks.{number}.{part}"
            low, high = extremes[name].low.numpy(), extremes[name].high.numpy()
            shift = shift_of(low, high) if part in SHIFTED else np.zeros_like(low)
            most = np.maximum(high - shift, shift - low)
            weights = torch.stack([layer.weight.abs().amax(dim=0) for layer in layers])
            share = min(alpha, _ALPHA_OUTPUT) if part == "output" else alpha
            divisors = smoothing_of(most, weights.amax(dim=0).numpy(), share)
            kept = torch.from_numpy(shift).double() if part in SHIFTED else None
            found[name] = Change(torch.from_numpy(divisors).double(), kept)
    return found


def _apply(encoder: Encoder, changes: Mapping[str, Change]) -> None:
    for number, block in enumerate(blocks_of(encoder)):
        parts = [changes[f"blocks.{number}.{part}"] for part in PARTS]
        # The fold wants float64, in which it proves itself.
        folded = SmoothingFold()(SmoothableBlock(block.copy().double(), *parts))
        encoder.blocks[number] = folded.float()
