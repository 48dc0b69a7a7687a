"""Fold: shifts and SmoothQuant's divisors into what gives a linear layer its input."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from vipx.export.blocks import Affine, Block, Norm
from vipx.export.folds.fold import Fold, refuse
from vipx.export.folds.layer_scale import block_difference


@dataclass(frozen=True, slots=True)
class Change:
    """What is done to an input of linear layers, channel by channel.

    Attributes:
        divisors: What it is divided by.
        shift: What is taken from it first; None for nothing.
    """

    divisors: Float[Tensor, "channels"]
    shift: Float[Tensor, "channels"] | None = None


@dataclass(frozen=True, slots=True)
class SmoothableBlock:
    """A float64 block, and what is to change in the inputs of its linear layers.

    Attributes:
        block: As the other folds leave it.
        attention: Input of query, key and value.
        output: Input of the output projection; not shifted.
        up: Input of the feed-forward branch.
        down: What the branch's nonlinearity gives; not shifted.
    """

    block: Block
    attention: Change
    output: Change
    up: Change
    down: Change


class SmoothingFold(Fold[SmoothableBlock, Block]):
    """`W x + b = (W diag(s)) ((x - t) / s) + (b + W t)`, where shift and division go into what gives x.

    1. Behind a norm: `(g n + c - t) / s` has the gain g / s and the bias (c - t) / s. The key needs no `W t`:
       it would cancel in the softmax, as every key bias does.
    2. Behind the attention: `(sum_m a_m v_m) / s = sum_m a_m (v_m / s)`, as the weights a belong to a head and
       s to a channel: the rows of W_v and its bias are divided.
    3. Behind the nonlinearity, which lets no factor pass: one multiplication by 1/s stays in the graph. What it
       gives is the hardest input to round (docs/int8.md), so that this is worth its time.
    """

    name = "smoothing"

    def requires(self, source: SmoothableBlock) -> None:
        """Divisors are positive, and only norms take a shift."""
        for change in (source.attention, source.output, source.up, source.down):
            refuse(not bool((change.divisors > 0).all()), "smoothing: expected positive divisors")
        for change in (source.output, source.down):
            refuse(
                change.shift is not None, "smoothing: only the input behind a norm can be shifted"
            )

    def call(self, source: SmoothableBlock) -> Block:
        """Rewrite norms, values and the weights behind them."""
        folded = source.block.copy()
        _shift(folded.norm_1, [folded.query, folded.value], source.attention)
        _divide_norm(folded.norm_1, [folded.query, folded.key, folded.value], source.attention)
        _shift(folded.norm_2, [folded.up], source.up)
        _divide_norm(folded.norm_2, [folded.up], source.up)
        folded.value.weight.div_(source.output.divisors[:, None])
        if folded.value.bias is not None:
            folded.value.bias.div_(source.output.divisors)
        folded.output.weight.mul_(source.output.divisors)
        folded.hidden_scale = nn.Parameter(1 / source.down.divisors, requires_grad=False)
        folded.down.weight.mul_(source.down.divisors)
        return folded

    def ensures(self, source: SmoothableBlock, folded: Block) -> float:
        """Run both blocks on random tokens."""
        return block_difference(source.block, folded)


def _shift(norm: Norm, readers: list[Affine], change: Change) -> None:
    """Take the shift from a norm's bias, and give what it was worth to the biases that need it, in place."""
    if change.shift is None:
        return
    for reader in readers:
        worth = reader.weight @ change.shift
        bias = worth if reader.bias is None else reader.bias + worth
        reader.bias = nn.Parameter(bias, requires_grad=False)
    norm.bias.sub_(change.shift)


def _divide_norm(norm: Norm, readers: list[Affine], change: Change) -> None:
    """Divide a norm's output by channel, and multiply the weights that read it, in place."""
    norm.weight.div_(change.divisors)
    norm.bias.div_(change.divisors)
    for reader in readers:
        reader.weight.mul_(change.divisors)
