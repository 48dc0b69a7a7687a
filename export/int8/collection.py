"""From calibration images to ranges, and from ranges to an encoder that is ready to be rounded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from vipx.errors import UsageError
from vipx.export.blocks import Affine
from vipx.export.encoder import Encoder
from vipx.export.folds.smoothing import Change, SmoothableBlock, SmoothingFold
from vipx.export.int8.observation import (
    Images,
    blocks_of,
    channel_extremes,
    histograms,
    readers,
)
from vipx.ranges import (
    PARTS,
    Extremes,
    RangeChoice,
    Ranges,
    Smoothing,
    input_range,
    smoothing_from_extremes,
)


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
    choice: RangeChoice = RangeChoice(),  # noqa: B008 - frozen
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
    smoothings = _smoothings(encoder, channel_extremes(encoder, images), choice.alpha)
    _apply(encoder, {name: _change(each) for name, each in smoothings.items()})
    seen = histograms(encoder, images)
    inputs = {
        name: input_range(smoothing, seen[name], choice.rule)
        for name, smoothing in smoothings.items()
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


def _smoothings(
    encoder: Encoder, extremes: Mapping[str, Extremes], alpha: float
) -> dict[str, Smoothing]:
    found = {}
    for number, block in enumerate(blocks_of(encoder)):
        for part, layers in readers(block).items():
            name = f"blocks.{number}.{part}"
            weights = torch.stack([layer.weight.abs().amax(dim=0) for layer in layers])
            most = weights.amax(dim=0).numpy()
            found[name] = smoothing_from_extremes(part, extremes[name], most, alpha)
    return found


def _change(smoothing: Smoothing) -> Change:
    shift = None if smoothing.shift is None else torch.from_numpy(smoothing.shift).double()
    return Change(torch.from_numpy(smoothing.divisors).double(), shift)


def _apply(encoder: Encoder, changes: Mapping[str, Change]) -> None:
    for number, block in enumerate(blocks_of(encoder)):
        parts = [changes[f"blocks.{number}.{part}"] for part in PARTS]
        # The fold wants float64, in which it proves itself.
        folded = SmoothingFold()(SmoothableBlock(block.copy().double(), *parts))
        encoder.blocks[number] = folded.float()
