"""The heads of ViP2-CLIP: folded FGP and UTPA."""

import copy

from jaxtyping import Float
from torch import Tensor

from vipx.export.folds.fgp import FgpFold
from vipx.export.folds.two_class import TwoClassFold
from vipx.export.folds.upsample import UpsampleFold, Upsampling
from vipx.export.heads import Heads
from vipx.training.methods.scoring import ABNORMAL, NORMAL
from vipx.training.methods.vip2clip.method import Vip2Clip
from vipx.training.model.vision import VisionOptions


class Vip2ClipHeads(Heads):
    """The folded FGP and UTPA, always float32.

    `patch_features [B,L,N,D], text_embeddings [B,2,D] -> score [B], patch_map [B,h,w], anomaly_map [B,H,W]`,
    all in [0, 1]. Where the image's score is the global feature's, that is the third input.
    """

    def __init__(self, method: Vip2Clip, options: VisionOptions, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.inputs = ("patch_features", "text_embeddings")
        self.folds = (TwoClassFold.name, UpsampleFold.name)
        self.fgp = None
        if method.fgp is not None:
            self.fgp = FgpFold()(copy.deepcopy(method.fgp).double()).float()
            self.folds = (FgpFold.name, *self.folds)
        if method.config.image_score == "global":
            self.inputs = (*self.inputs, "global_feature")
        self.scoring = TwoClassFold()(method.config)
        size = (options.height, options.width)
        self.upsampling = UpsampleFold()(Upsampling(grid, size, method.config.sigma)).float()

    def forward(
        self,
        patch_features: Float[Tensor, "batch layers patches dim"],
        text_embeddings: Float[Tensor, "batch 2 dim"],
        global_feature: Float[Tensor, "batch dim"] | None = None,
    ) -> tuple[
        Float[Tensor, "batch"],
        Float[Tensor, "batch rows columns"],
        Float[Tensor, "batch height width"],
    ]:
        """Score a batch."""
        texts = text_embeddings[:, None].expand(-1, patch_features.shape[1], -1, -1)
        if self.fgp is not None:
            texts = self.fgp(text_embeddings, patch_features)  # (batch, layers, 2, dim)
        whole = None
        if global_feature is not None:
            difference = text_embeddings[:, ABNORMAL] - text_embeddings[:, NORMAL]
            whole = (difference * global_feature).sum(dim=-1)  # (batch,)
        score, probability = self.scoring(texts, patch_features, whole)
        patch_map = probability.unflatten(-1, self.grid)
        return score, patch_map, self.upsampling(patch_map)
