"""The heads of TokenCLIP-R: transport, mixture and scores; the texts are constants that come as an input."""

import torch
from jaxtyping import Float
from torch import Tensor

from vipx.errors import UsageError
from vipx.export.folds.gram import GramFold
from vipx.export.folds.sinkhorn import SinkhornFold
from vipx.export.folds.upsample import UpsampleFold, Upsampling
from vipx.export.heads import Heads
from vipx.training.methods.scoring import ABNORMAL, NORMAL
from vipx.training.methods.tokenclip.method import TokenClip
from vipx.training.methods.tokenclip.transport import sparse_rows
from vipx.training.model.vision import VisionOptions


class TokenClipHeads(Heads):
    """Assignment and scores of TokenCLIP-R, always float32.

    `patch_features [B,L,N,D], text_embeddings [B,2+2K,D], global_feature [B,D] -> score [B], patch_map [B,h,w],
    anomaly_map [B,H,W]`, all in [0, 1]. The texts' order is that of `TokenClip.text_embeddings`.
    """

    def __init__(self, method: TokenClip, options: VisionOptions, grid: tuple[int, int]) -> None:
        super().__init__()
        config, patches = method.config, grid[0] * grid[1]
        if config.image_score == "global+map" and config.map_patches > patches:
            raise UsageError(
                f"map patches: expected at most the image's {patches} patches, got {config.map_patches}"
            )
        self.config = config
        self.grid = grid
        self.inputs = ("patch_features", "text_embeddings", "global_feature")
        folds = SinkhornFold(), GramFold(), UpsampleFold()
        self.folds = tuple(fold.name for fold in folds)
        self.assignment, self.mixture = folds[0](config), folds[1](config)
        size = (options.height, options.width)
        self.upsampling = folds[2](Upsampling(grid, size, config.sigma)).float()

    def forward(
        self,
        patch_features: Float[Tensor, "batch layers patches dim"],
        text_embeddings: Float[Tensor, "batch texts dim"],
        global_feature: Float[Tensor, "batch dim"],
    ) -> tuple[
        Float[Tensor, "batch"],
        Float[Tensor, "batch rows columns"],
        Float[Tensor, "batch height width"],
    ]:
        """Score a batch."""
        pair, bank = text_embeddings[:, :2], text_embeddings[:, 2:]
        count = self.config.subspaces
        cosines = patch_features @ bank.transpose(-1, -2)[:, None]  # (batch, layers, patches, 2 K)
        affinity = (cosines[..., :count] + cosines[..., count:]) / 2
        weights = sparse_rows(self.assignment(affinity), self.config.top_k, self.config.tie_width)
        probability = self.mixture(weights, cosines, bank).mean(dim=1)  # (batch, patches)
        difference = pair[:, ABNORMAL] - pair[:, NORMAL]
        whole = (difference * global_feature).sum(dim=-1)  # (batch,)
        patch_map = probability.unflatten(-1, self.grid)
        score = self._score(torch.sigmoid(whole / self.config.temperature), probability)
        return score, patch_map, self.upsampling(patch_map)

    def _score(
        self, whole: Float[Tensor, "batch"], probability: Float[Tensor, "batch patches"]
    ) -> Float[Tensor, "batch"]:
        if self.config.image_score == "global":
            return whole
        highest = probability.topk(self.config.map_patches, dim=-1, sorted=True).values
        return (whole + highest.mean(dim=-1)) / 2
