"""Fold: patches meet their own texts without these texts being made."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vipx.export.blocks import unit
from vipx.export.folds.fold import Fold, probe, relative_difference
from vipx.training.methods.scoring import ABNORMAL, NORMAL, alignment_from_cosines
from vipx.training.methods.tokenclip.configuration import TokenClipConfig
from vipx.training.methods.tokenclip.texts import mixed_cosines, regrouped_cosines


class FoldedMixture(nn.Module):
    """Every patch's probability from its weights, its cosines with the subspaces, and their inner products."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(
        self,
        weights: Float[Tensor, "batch layers patches subspaces"],
        cosines: Float[Tensor, "batch layers patches texts"],
        bank: Float[Tensor, "batch texts dim"],
    ) -> Float[Tensor, "batch layers patches"]:
        """Give the anomaly probability; `texts` are the normal subspaces, then the abnormal ones."""
        count = weights.shape[-1]
        own = []
        for state in (slice(count), slice(count, None)):
            texts = bank[:, None, state]  # (batch, 1, subspaces, dim)
            gram = texts @ texts.transpose(-1, -2)
            own.append(regrouped_cosines(weights, cosines[..., state], gram))
        return torch.sigmoid((own[ABNORMAL] - own[NORMAL]) / self.temperature)


class GramFold(Fold[TokenClipConfig, FoldedMixture]):
    """A patch's text is a mixture of K, so that K inner products for each patch say all about it.

    With weights w of a patch p, texts T (K x D) and G = T T^T:

    1. `p . unit(w T) = (w . T p) / |w T|` and `|w T|^2 = w G w^T`: the N x D texts of N patches are never made.
    2. Two states are one difference, as in the fold `two-class`: `softmax(c / t)_a = sigmoid((c_a - c_n) / t)`.
    """

    name = "gram"

    def requires(self, source: TokenClipConfig) -> None:
        """Every configuration qualifies."""

    def call(self, source: TokenClipConfig) -> FoldedMixture:
        """Build the folded mixture."""
        return FoldedMixture(source.temperature)

    def ensures(self, source: TokenClipConfig, folded: FoldedMixture) -> float:
        """Mix random texts both ways."""
        patches, count = unit(probe(1, 2, 6, 16)), source.subspaces
        bank = unit(probe(2, count, 16, seed=1))
        weights = probe(1, 2, 6, count, seed=2).softmax(dim=-1)
        cosines = mixed_cosines(patches, weights, bank)
        expected = alignment_from_cosines(cosines, source.temperature).probabilities[..., ABNORMAL]
        rows = bank.flatten(0, 1)
        actual = folded(weights, patches @ rows.T, rows[None])
        return relative_difference(expected, actual)
