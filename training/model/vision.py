"""The vision tower: one image in, the global feature and the patch features of chosen layers out."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from vipx.errors import UsageError

Resample = Literal["bilinear", "bicubic", "bicubic-antialias"]


@dataclass(frozen=True, slots=True)
class VisionOptions:
    """The choices that change the vision tower's numbers.

    Attributes:
        height: Input height in pixels; a multiple of the patch size.
        width: Input width in pixels; a multiple of the patch size.
        feature_layers: Blocks, counted from 1, whose outputs become patch features.
        pos_embed_resample: How the grid of positional embeddings is stretched to the input's grid.
        cls_ln_post: Whether the class token passes through `ln_post` before the projection. CLIP does so;
            the published ViP2-CLIP does not.
    """

    height: int
    width: int
    feature_layers: tuple[int, ...]
    pos_embed_resample: Resample = "bilinear"
    cls_ln_post: bool = False

    def __post_init__(self) -> None:
        layers = self.feature_layers
        if not layers or list(layers) != sorted(set(layers)) or layers[0] < 1:
            raise UsageError(f"feature layers: expected rising numbers from 1, got {list(layers)}")


@dataclass(frozen=True, slots=True)
class VisionFeatures:
    """What the vision tower gives; every vector has unit length."""

    global_feature: Float[Tensor, "batch dim"]
    patch_features: Float[Tensor, "batch layers patches dim"]


class VisionTower(nn.Module):
    """An open_clip ViT that returns the residual stream's projections after chosen blocks.

    For a layer l: `patch_features[:, l] = unit((ln_post(x_l) @ proj)[patches])`, and the global feature is
    `unit(x_last[class] @ proj)` (methods/vip2clip.md 1.1).
    """

    def __init__(self, visual: nn.Module, options: VisionOptions) -> None:
        super().__init__()
        self.visual = _supported(visual)
        self.options = options
        self.grid = _grid(self.visual, options)
        depth = len(self.visual.transformer.resblocks)
        if options.feature_layers[-1] > depth:
            raise UsageError(
                f"feature layers {list(options.feature_layers)}: the vision tower has only {depth} blocks"
            )

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> VisionFeatures:
        """Encode normalised images; `image` holds (pixel / 255 - mean) / deviation, RGB."""
        x = self.embed(image)  # (batch, 1 + patches, channels)
        maps: list[Tensor] = []
        for number, block in enumerate(self.visual.transformer.resblocks, start=1):
            x = block(x)
            if number in self.options.feature_layers:
                maps.append(
                    self.visual.ln_post(x[:, 1:]) @ self.visual.proj
                )  # (batch, patches, dim)
        token = self.visual.ln_post(x[:, 0]) if self.options.cls_ln_post else x[:, 0]
        return VisionFeatures(
            global_feature=F.normalize(token @ self.visual.proj, dim=-1),
            patch_features=F.normalize(torch.stack(maps, dim=1), dim=-1),
        )

    def embed(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch tokens channels"]:
        """Cut the image into patches, put the class token first, add positions, normalise."""
        patches = self.visual.conv1(image).flatten(2).transpose(1, 2)  # (batch, patches, channels)
        token = self.visual.class_embedding.expand(image.shape[0], 1, -1)
        return self.visual.ln_pre(torch.cat([token, patches], dim=1) + self.positional_embedding())

    def positional_embedding(self) -> Float[Tensor, "tokens channels"]:
        """Give the positions of this input's grid; the class token's row stays as it is."""
        table: Tensor = self.visual.positional_embedding
        side = round((table.shape[0] - 1) ** 0.5)
        if self.grid == (side, side):
            return table
        mode = "bilinear" if self.options.pos_embed_resample == "bilinear" else "bicubic"
        grid = table[1:].T.reshape(1, -1, side, side)  # (1, channels, side, side)
        stretched = F.interpolate(
            grid,
            size=self.grid,
            mode=mode,
            align_corners=False,
            antialias=self.options.pos_embed_resample == "bicubic-antialias",
        )
        return torch.cat([table[:1], stretched.flatten(2)[0].T])  # (1 + patches, channels)


def _supported(visual: nn.Module) -> VisionTransformer:
    """Refuse towers whose forward pass this module would not reproduce."""
    if not isinstance(visual, VisionTransformer):
        raise UsageError(
            f"the vision tower is a {type(visual).__name__}; only open_clip's own ViTs work"
        )
    blocks = visual.transformer.resblocks
    if not all(type(block) is ResidualAttentionBlock for block in blocks):
        raise UsageError(f"vision blocks of type {type(blocks[0]).__name__} are not supported")
    if visual.attn_pool is not None or visual.pool_type != "tok" or visual.final_ln_after_pool:
        raise UsageError(
            "the vision tower must pool by its class token; attention or mean pooling is not supported"
        )
    if not visual.transformer.batch_first:
        raise UsageError("the vision tower must be batch first; load it with a current open_clip")
    return visual


def _grid(visual: VisionTransformer, options: VisionOptions) -> tuple[int, int]:
    (patch_height, patch_width) = visual.patch_size
    rows, columns = options.height // patch_height, options.width // patch_width
    if (rows * patch_height, columns * patch_width) != (
        options.height,
        options.width,
    ) or not rows * columns:
        raise UsageError(
            f"image size {options.height}x{options.width} is not a multiple of the patch size "
            f"{patch_height}x{patch_width}; the next that works is "
            f"{max(rows, 1) * patch_height}x{max(columns, 1) * patch_width}"
        )
    return rows, columns
