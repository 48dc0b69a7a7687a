"""Fold: the FGP's key and value projections move from 1369 patches to 16 queries."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vipx.export.blocks import Affine, unit
from vipx.export.folds.fold import Fold, probe, relative_difference
from vipx.training.methods.vip2clip.fgp import FGP


class FoldedFGP(nn.Module):
    """The FGP in `2 x heads` queries; nothing of the patches' number is multiplied by a dim x dim matrix."""

    def __init__(self, source: FGP) -> None:
        super().__init__()
        self.heads = source.heads
        self.query = Affine(source.query.weight * source.scale, source.query.bias * source.scale)
        # Row blocks of W_k and W_v: one (head, dim) matrix for each head.
        key = source.key.weight.unflatten(0, (source.heads, -1))  # (heads, head, dim)
        value = source.value.weight.unflatten(0, (source.heads, -1)).transpose(
            1, 2
        )  # (heads, dim, head)
        self.key = nn.Parameter(key.detach().clone(), requires_grad=False)
        self.value = nn.Parameter(value.detach().contiguous(), requires_grad=False)
        carried = source.output.weight @ source.value.bias + source.output.bias
        self.output = Affine(source.output.weight, carried)

    def forward(
        self,
        text: Float[Tensor, "batch 2 dim"],
        patches: Float[Tensor, "batch layers patches dim"],
    ) -> Float[Tensor, "batch layers 2 dim"]:
        """Align both texts with the patches of every layer; all vectors have unit length."""
        query = (
            self.query(text).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        )  # (batch, heads, 2, head)
        queries = (query @ self.key).flatten(1, 2)  # (batch, heads * 2, dim)
        logits = queries[:, None] @ patches.transpose(-1, -2)  # (batch, layers, heads * 2, patches)
        pooled = logits.softmax(dim=-1) @ patches  # (batch, layers, heads * 2, dim)
        mixed = pooled.unflatten(2, (self.heads, 2)) @ self.value  # (batch, layers, heads, 2, head)
        merged = mixed.transpose(2, 3).flatten(3)  # (batch, layers, 2, dim)
        return unit(self.output(merged))


class FgpFold(Fold[FGP, FoldedFGP]):
    """The key projection acts on the queries, and the value projection after the pooling.

    Per head h, with patches p_m and softmax weights a_m over m:

    1. `q_h · (W_k,h p_m + b_k,h) = (W_k,h^T q_h) · p_m + const`: the key projection acts on the query, and
       the constant does not depend on m, so softmax drops it.
    2. `sum_m a_m (W_v,h p_m + b_v,h) = W_v,h (sum_m a_m p_m) + b_v,h`, as the weights sum to 1: the value
       projection acts after the pooling, and its bias passes through W_o (methods/vip2clip.md 1.12, 2).
    """

    name = "fgp"

    def requires(self, source: FGP) -> None:
        """Every FGP qualifies."""

    def call(self, source: FGP) -> FoldedFGP:
        """Regroup the four projections."""
        return FoldedFGP(source)

    def ensures(self, source: FGP, folded: FoldedFGP) -> float:
        """Align random unit vectors both ways."""
        dim = source.query.weight.shape[0]
        text = unit(probe(2, 2, dim))
        patches = unit(probe(2, 3, 11, dim, seed=1))
        with torch.no_grad():
            return relative_difference(source(text, patches), folded(text, patches))
