"""The graph `encoder.onnx`: RGB bytes in, unit features out; the same for every method and product."""

import torch
from jaxtyping import Float, UInt8
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn

from vipx.export.blocks import Affine, Block, Norm, unit
from vipx.export.folds import BLOCK_FOLDS
from vipx.export.folds.camera import camera_resize
from vipx.export.folds.layer_norm import fold_norm
from vipx.export.folds.pixels import PatchEmbedding, PixelFold
from vipx.training.model.backbone import Backbone


class Encoder(nn.Module):
    """The folded vision tower.

    `image uint8 [B,H,W,3] -> global_feature [B,D], patch_features [B,L,N,D]`, float32 and of unit length. With
    a camera, H and W are those of its frames (height, width), which are resized here.
    """

    def __init__(self, backbone: Backbone, camera: tuple[int, int] | None = None) -> None:
        super().__init__()
        visual, options = backbone.vision.visual, backbone.vision.options
        self.layers = options.feature_layers
        self.cls_ln_post = options.cls_ln_post
        size = (options.height, options.width)
        self.resize = None if camera is None else camera_resize(camera, size)
        self.embedding = PixelFold()(PatchEmbedding.of(backbone)).float()
        # Identity where the tower has no norm before its blocks.
        self.pre = Norm.of(visual.ln_pre) if hasattr(visual.ln_pre, "weight") else nn.Identity()
        self.blocks = nn.ModuleList(
            folded_block(block).float() for block in visual.transformer.resblocks
        )
        self.post = Norm.of(visual.ln_post).double()
        self.patch_projection = Affine(visual.proj.T, None).double()
        self.class_projection = Affine(visual.proj.T, None)
        fold_norm(self.post, [self.patch_projection])
        self.post.float()
        self.patch_projection.float()

    @property
    def dtype(self) -> torch.dtype:
        """Type of the residual stream: float32, or float16 once `halve` was called."""
        return self.class_projection.weight.dtype

    @property
    def heads(self) -> int:
        """Heads of every attention."""
        first = self.blocks[0]
        assert isinstance(first, Block)
        return first.heads

    def halve(self) -> "Encoder":
        """Compute the blocks and projections in float16; norms and the patch embedding stay float32.

        Every LayerNorm is an island: its input is widened and its output narrowed again. From the patch
        features on, everything is float32 (design.md; bf16 or fp16 there destroys maps, perf.md C4).
        """
        for module in [*self.blocks.modules(), self.patch_projection, self.class_projection]:
            if isinstance(module, Affine):
                module.half()
        return self

    def forward(
        self, image: UInt8[Tensor, "batch height width 3"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch layers patches dim"]]:
        """Encode RGB bytes at the input size, or the camera's."""
        pixels = image.to(self.embedding.weight.dtype).permute(
            0, 3, 1, 2
        )  # Cast first: TensorRT's rule
        if self.resize is not None:
            pixels = self.resize(pixels)
        x = self.pre(self.embedding(pixels)).to(self.dtype)  # (batch, 1 + patches, width)
        maps = []
        for number, block in enumerate(self.blocks, start=1):
            x = block(x)
            if number in self.layers:
                maps.append(self.patch_projection(self.post(x[:, 1:])))  # (batch, patches, dim)
        token = self._class_feature(x[:, 0])
        patches = torch.stack(maps, dim=1)
        return unit(_wide(token)), unit(_wide(patches))

    def _class_feature(self, token: Float[Tensor, "batch width"]) -> Float[Tensor, "batch dim"]:
        if self.cls_ln_post:
            return self.patch_projection(self.post(token))
        return self.class_projection(token)


def folded_block(source: ResidualAttentionBlock) -> Block:
    """Apply every block fold in float64."""
    block = Block(source)
    for fold in BLOCK_FOLDS:
        block = fold(block)
    return block


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype == torch.float16 else x
