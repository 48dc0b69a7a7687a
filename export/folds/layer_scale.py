"""Fold: LayerScale into the linear layer before it."""

from vipx.export.blocks import Block
from vipx.export.folds.fold import Fold, probe, relative_difference


class LayerScaleFold(Fold[Block, Block]):
    """`g * (W x + b) = (diag(g) W) x + g * b`, for both branches of a block."""

    name = "layer-scale"

    def requires(self, source: Block) -> None:
        """Every block qualifies; one without LayerScale stays as it is."""

    def call(self, source: Block) -> Block:
        """Scale the rows of the two output layers."""
        folded = source.copy()
        if source.branch_scales is None:
            return folded
        for layer, gain in zip((folded.output, folded.down), source.branch_scales, strict=True):
            layer.weight.mul_(gain[:, None])
            if layer.bias is not None:
                layer.bias.mul_(gain)
        folded.branch_scales = None
        return folded

    def ensures(self, source: Block, folded: Block) -> float:
        """Run both blocks on random tokens."""
        return block_difference(source, folded)


def block_difference(source: Block, folded: Block) -> float:
    """Compare two float64 blocks on seven random tokens."""
    x = probe(1, 7, source.query.weight.shape[1])
    return relative_difference(source(x), folded(x))
