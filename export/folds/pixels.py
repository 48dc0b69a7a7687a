"""Fold: pixel normalisation into the patch embedding, so that the graph takes bytes."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vipx.export.folds.fold import Fold, refuse, relative_difference
from vipx.training.model.backbone import Backbone


@dataclass(frozen=True, slots=True)
class PatchEmbedding:
    """The unfolded embedding in float64: normalise, cut into patches, add token and positions.

    `table` has a row for the class token, then one for each patch.
    """

    weight: Float[Tensor, "channels 3 patch_height patch_width"]
    class_token: Float[Tensor, "channels"]
    table: Float[Tensor, "tokens channels"]
    pixel_mean: Float[Tensor, "3"]
    pixel_deviation: Float[Tensor, "3"]
    grid: tuple[int, int]

    @classmethod
    def of(cls, backbone: Backbone) -> "PatchEmbedding":
        """Copy a backbone's embedding for its input size."""
        visual = backbone.vision.visual
        return cls(
            weight=visual.conv1.weight.detach().double(),
            class_token=visual.class_embedding.detach().double(),
            table=backbone.vision.positional_embedding().detach().double(),
            pixel_mean=backbone.pixel_mean.double(),
            pixel_deviation=backbone.pixel_deviation.double(),
            grid=backbone.vision.grid,
        )

    def __call__(
        self, pixels: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch tokens channels"]:
        """Embed pixels in [0, 255]."""
        mean, deviation = self.pixel_mean[:, None, None], self.pixel_deviation[:, None, None]
        patches = F.conv2d((pixels / 255 - mean) / deviation, self.weight, stride=self.patch_size)
        rows = patches.flatten(2).transpose(1, 2)  # (batch, patches, channels)
        token = self.class_token.expand(rows.shape[0], 1, -1)
        return torch.cat([token, rows], dim=1) + self.table

    @property
    def patch_size(self) -> tuple[int, int]:
        """Height and width of a patch in pixels."""
        return self.weight.shape[2], self.weight.shape[3]


class FoldedPatchEmbedding(nn.Module):
    """One convolution of raw pixels, plus one table that also holds the class token."""

    def __init__(self, weight: Tensor, table: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.table = nn.Parameter(table, requires_grad=False)

    def forward(
        self, pixels: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch tokens channels"]:
        """Embed pixels in [0, 255]."""
        patches = F.conv2d(pixels, self.weight, stride=self.weight.shape[2:])
        rows = patches.flatten(2).transpose(1, 2)  # (batch, patches, channels)
        # A row of zeros makes room for the class token, which the table holds: no Shape, no Expand.
        return F.pad(rows, (0, 0, 1, 0)) + self.table


class PixelFold(Fold[PatchEmbedding, FoldedPatchEmbedding]):
    """`W ((v/255 - m) / d) = (W / (255 d)) v - sum W m / d`, per channel.

    The first factor is a new convolution; the constant is the same for every patch and joins the table of
    positions, where the class token's vector joins too. There is no padding, so the constant is exact.
    """

    name = "pixels"

    def requires(self, source: PatchEmbedding) -> None:
        """Deviations must not vanish."""
        refuse(bool((source.pixel_deviation <= 0).any()), "pixel deviations must be positive")

    def call(self, source: PatchEmbedding) -> FoldedPatchEmbedding:
        """Scale the convolution and merge the constants."""
        per_channel = source.weight / source.pixel_deviation[:, None, None]
        constant = (per_channel * source.pixel_mean[:, None, None]).sum(
            dim=(1, 2, 3)
        )  # (channels,)
        table = source.table.clone()
        table[0] += source.class_token
        table[1:] -= constant
        return FoldedPatchEmbedding(per_channel / 255, table)

    def ensures(self, source: PatchEmbedding, folded: FoldedPatchEmbedding) -> float:
        """Embed random bytes both ways."""
        height, width = (
            cells * size for cells, size in zip(source.grid, source.patch_size, strict=True)
        )
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (1, 3, height, width), generator=generator).double()
        return relative_difference(source(pixels), folded(pixels))
