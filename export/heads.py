"""The graph `heads.onnx`: patches and texts in; score, patch map and anomaly map out."""

import copy

from jaxtyping import Float
from torch import Tensor, nn

from vipx.export.folds.fgp import FgpFold
from vipx.export.folds.two_class import TwoClassFold
from vipx.export.folds.upsample import UpsampleFold, Upsampling
from vipx.training.methods.vip2clip.method import Vip2Clip
from vipx.training.model.vision import VisionOptions


class Heads(nn.Module):
    """The folded FGP and UTPA, always float32.

    `patch_features [B,L,N,D], text_embeddings [B,2,D] -> score [B], patch_map [B,h,w], anomaly_map [B,H,W]`,
    all in [0, 1].
    """

    def __init__(self, method: Vip2Clip, options: VisionOptions, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.fgp = FgpFold()(copy.deepcopy(method.fgp).double()).float()
        self.scoring = TwoClassFold()(method.config)
        size = (options.height, options.width)
        self.upsampling = UpsampleFold()(Upsampling(grid, size, method.config.sigma)).float()

    def forward(
        self,
        patch_features: Float[Tensor, "batch layers patches dim"],
        text_embeddings: Float[Tensor, "batch 2 dim"],
    ) -> tuple[
        Float[Tensor, "batch"],
        Float[Tensor, "batch rows columns"],
        Float[Tensor, "batch height width"],
    ]:
        """Score a batch."""
        texts = self.fgp(text_embeddings, patch_features)  # (batch, layers, 2, dim)
        score, probability = self.scoring(texts, patch_features)
        patch_map = probability.unflatten(-1, self.grid)
        return score, patch_map, self.upsampling(patch_map)
