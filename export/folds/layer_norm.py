"""Fold: LayerNorm's gain and bias into the linear layers behind it."""

from torch import nn

from vipx.export.blocks import Affine, Block, Norm
from vipx.export.folds.fold import Fold
from vipx.export.folds.layer_scale import block_difference


class LayerNormFold(Fold[Block, Block]):
    """`W (g * n + c) + b = (W diag(g)) n + (W c + b)`, where n is the normalised input.

    The norm keeps gain 1 and bias 0, so the graph still holds one standard LayerNormalization.
    """

    name = "layer-norm"

    def requires(self, source: Block) -> None:
        """Every block qualifies."""

    def call(self, source: Block) -> Block:
        """Move the gain and bias of both norms."""
        folded = source.copy()
        fold_norm(folded.norm_1, [folded.query, folded.key, folded.value])
        fold_norm(folded.norm_2, [folded.up])
        return folded

    def ensures(self, source: Block, folded: Block) -> float:
        """Run both blocks on random tokens."""
        return block_difference(source, folded)


def fold_norm(norm: Norm, layers: list[Affine]) -> None:
    """Move a norm's gain and bias into the layers that read it, in place."""
    for layer in layers:
        shift = layer.weight @ norm.bias
        bias = shift if layer.bias is None else layer.bias + shift
        layer.bias = nn.Parameter(bias, requires_grad=False)
        layer.weight.mul_(norm.weight)
    norm.weight.fill_(1.0)
    norm.bias.fill_(0.0)
