"""Fold: the attention's scale, its key bias and its value bias."""

from torch import nn

from vipx.export.blocks import Block
from vipx.export.folds.fold import Fold, refuse
from vipx.export.folds.layer_scale import block_difference


class AttentionFold(Fold[Block, Block]):
    """Three equalities of softmax attention.

    1. `s (W_q x + b_q) · k = (s W_q x + s b_q) · k`: the scale s goes into the query.
    2. `q · (W_k x_m + b_k) = q · W_k x_m + q · b_k`: the last term is the same for every m, and softmax over
       m does not see it: the key bias is dropped. An added mask changes nothing in this.
    3. `sum_m a_m (W_v x_m + b_v) = sum_m a_m W_v x_m + b_v`, as the weights a sum to 1: the value bias passes
       through the output projection, `b_o + W_o b_v`.
    """

    name = "attention"

    def requires(self, source: Block) -> None:
        """The output projection follows the heads directly, so LayerScale must be folded first."""
        refuse(source.branch_scales is not None, "fold LayerScale before the attention")

    def call(self, source: Block) -> Block:
        """Rewrite the four projections."""
        folded = source.copy()
        folded.query.weight.mul_(source.scale)
        if folded.query.bias is not None:
            folded.query.bias.mul_(source.scale)
        folded.scale = 1.0
        folded.key.bias = None
        if source.value.bias is not None and source.output.bias is not None:
            bias = source.output.bias + source.output.weight @ source.value.bias
            folded.output.bias = nn.Parameter(bias, requires_grad=False)
            folded.value.bias = None
        return folded

    def ensures(self, source: Block, folded: Block) -> float:
        """Run both blocks on random tokens."""
        return block_difference(source, folded)
