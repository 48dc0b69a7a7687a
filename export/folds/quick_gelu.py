"""Fold: QuickGELU's constant into the linear layers around it."""

from vipx.export.blocks import QUICK_GELU, Block
from vipx.export.folds.fold import Fold
from vipx.export.folds.layer_scale import block_difference


class QuickGeluFold(Fold[Block, Block]):
    """`u sigmoid(c u) = SiLU(c u) / c`: c = 1.702 goes into `up`, 1/c into `down`.

    SiLU is one multiplication cheaper, and an operator that every engine fuses.
    """

    name = "quick-gelu"

    def requires(self, source: Block) -> None:
        """Every block qualifies; one with another activation stays as it is."""

    def call(self, source: Block) -> Block:
        """Scale the hidden layer up and its readout down."""
        folded = source.copy()
        if source.activation != "quick_gelu":
            return folded
        folded.up.weight.mul_(QUICK_GELU)
        if folded.up.bias is not None:
            folded.up.bias.mul_(QUICK_GELU)
        folded.down.weight.div_(QUICK_GELU)
        folded.activation = "silu"
        return folded

    def ensures(self, source: Block, folded: Block) -> float:
        """Run both blocks on random tokens."""
        return block_difference(source, folded)
