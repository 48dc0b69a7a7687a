"""Fold: two classes are one difference; a sigmoid replaces the softmax, and values replace indices."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vipx.export.blocks import unit
from vipx.export.folds.fold import Fold, probe, relative_difference
from vipx.training.methods.scoring import ABNORMAL, NORMAL
from vipx.training.methods.vip2clip import utpa
from vipx.training.methods.vip2clip.configuration import Vip2ClipConfig


class FoldedScoring(nn.Module):
    """Score and patch map from one cosine difference for each patch.

    Where the configuration scores images by their global feature, that difference is the image's.
    """

    def __init__(self, config: Vip2ClipConfig) -> None:
        super().__init__()
        self.config = config

    def forward(
        self,
        text: Float[Tensor, "batch layers 2 dim"],
        patches: Float[Tensor, "batch layers patches dim"],
        whole: Float[Tensor, "batch"] | None = None,
    ) -> tuple[Float[Tensor, "batch"], Float[Tensor, "batch patches"]]:
        """Give the image score and, averaged over the layers, every patch's probability.

        Args:
            text: The texts that each layer's patches meet.
            patches: The patches.
            whole: Cosine difference of the global feature, which alone makes the score if it is given.
        """
        difference = text[:, :, ABNORMAL] - text[:, :, NORMAL]  # (batch, layers, dim)
        margins = (patches @ difference[..., None]).squeeze(-1)  # (batch, layers, patches)
        probability = torch.sigmoid(margins / self.config.temperature).mean(dim=1)
        if whole is not None:
            return torch.sigmoid(whole / self.config.temperature), probability
        return self._score(margins, patches, difference), probability

    def _score(
        self,
        margins: Float[Tensor, "batch layers patches"],
        patches: Float[Tensor, "batch layers patches dim"],
        difference: Float[Tensor, "batch layers dim"],
    ) -> Float[Tensor, "batch"]:
        values = margins.topk(self.config.top_k, dim=-1, sorted=True).values  # (batch, layers, k)
        if self.config.image_score == "official":
            return torch.sigmoid(values.mean(dim=(1, 2)) / self.config.temperature)
        chosen = (margins >= values[..., -1:]).to(patches.dtype)  # (batch, layers, patches)
        mean = (chosen[:, :, None] @ patches).squeeze(2)  # (batch, layers, dim), up to its length
        cosine = (unit(mean) * difference).sum(dim=-1)  # (batch, layers)
        return torch.sigmoid(cosine / self.config.temperature).mean(dim=1)


class TwoClassFold(Fold[Vip2ClipConfig, FoldedScoring]):
    """A softmax over two classes is a sigmoid of their difference.

    With cosines c_n, c_a of a patch and their difference d = p · (a - n):

    1. `softmax(c/τ)_a = sigmoid((c_a - c_n)/τ) = sigmoid(d/τ)`.
    2. The map `(p_a + 1 - p_n)/2 = p_a`, since the two sum to 1.
    3. p_a rises with d, so the k patches of largest p_a are those of largest d: the k largest *values* of d
       suffice. Where p rounds to 1 in several patches, d still tells them apart; `utpa` ranks by it, too.
    4. The mean of cosine pairs over k patches and all layers, then softmax, is `sigmoid(mean(d)/τ)`.

    For the paper's image score the mean of the k features is needed: they are those whose d reaches the k-th
    value, and a sum has the direction of the mean (methods/vip2clip.md 1.12, 3). There, patches tied exactly
    at the k-th value would all be taken.
    """

    name = "two-class"

    def requires(self, source: Vip2ClipConfig) -> None:
        """Every configuration qualifies."""

    def call(self, source: Vip2ClipConfig) -> FoldedScoring:
        """Build the folded scoring."""
        return FoldedScoring(source)

    def ensures(self, source: Vip2ClipConfig, folded: FoldedScoring) -> float:
        """Score random unit vectors both ways."""
        text = unit(probe(2, 3, 2, 16))
        patches = unit(probe(2, 3, source.top_k + 5, 16, seed=1))
        alignment = utpa.align(text, patches, source.temperature)
        if source.image_score == "global":
            logits = utpa.global_logits(text[:, 0], patches[:, 0, 0], source.temperature)
            difference = text[:, 0, ABNORMAL] - text[:, 0, NORMAL]
            score, probability = folded(text, patches, (difference * patches[:, 0, 0]).sum(dim=-1))
        else:
            logits = utpa.image_logits(alignment, text, patches, source)
            score, probability = folded(text, patches)
        expected = logits.softmax(dim=-1)[..., ABNORMAL].mean(dim=1)
        mean = alignment.probabilities[..., ABNORMAL].mean(dim=1)
        return max(relative_difference(expected, score), relative_difference(mean, probability))
