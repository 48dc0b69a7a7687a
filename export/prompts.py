"""The graph `prompts.onnx`: an image's global feature in, its two text embeddings out."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vipx.export.blocks import Block, Norm, unit
from vipx.export.encoder import folded_block
from vipx.export.folds.meta_net import MetaNetFold
from vipx.export.folds.text_prefix import PromptEncoder, TextPrefixFold
from vipx.training.methods.vip2clip.ica import ICA
from vipx.training.model.text import TextTower


class Prompts(nn.Module):
    """The folded ICA and text tower.

    `global_feature [B,D] -> text_embeddings [B,2,D]`, normal first, float32 and of unit length.
    """

    def __init__(self, ica: ICA, text: TextTower) -> None:
        super().__init__()
        ica = copy.deepcopy(ica).double()
        self.class_tokens = MetaNetFold()(ica).float()
        blocks = tuple(folded_block(block) for block in text.transformer.resblocks)
        self.encoder = TextPrefixFold()(prompt_encoder(ica, text, blocks)).float()

    def forward(self, global_feature: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch 2 dim"]:
        """Encode each image's two prompts."""
        return unit(self.encoder(self.class_tokens(global_feature)))


def prompt_encoder(ica: ICA, text: TextTower, blocks: tuple[Block, ...]) -> PromptEncoder:
    """Put a float64 ICA's fixed tokens, the positions and the text tower together."""
    template = ica.template.clone()
    with torch.no_grad():
        template[:, 1 : ica.word] = ica.context
        template += text.positional_embedding[: template.shape[1]].double()
    return PromptEncoder(
        blocks=blocks,
        final=Norm.of(text.ln_final).double(),
        projection=text.text_projection.detach().double(),
        template=template,
        first=ica.word + 1,
        end=ica.end,
    )
