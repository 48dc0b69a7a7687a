"""The text tower: prompt embeddings in, one text embedding for each prompt out."""

import torch
from jaxtyping import Float
from open_clip.model import CLIP
from open_clip.transformer import ResidualAttentionBlock, TextTransformer, Transformer
from torch import Tensor, nn

from vipx.errors import UsageError


class TextTower(nn.Module):
    """An open_clip text transformer that starts from token embeddings instead of token ids.

    Learnable prompts are not words, so methods build the embeddings and call this tower with them.
    """

    attn_mask: Tensor

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        text: CLIP | TextTransformer = text_part(clip)
        _check_supported(text)
        self.transformer: Transformer = text.transformer
        self.token_embedding: nn.Embedding = text.token_embedding
        self.positional_embedding: nn.Parameter = text.positional_embedding
        self.ln_final: nn.LayerNorm = text.ln_final
        self.text_projection: nn.Parameter = text.text_projection
        self.register_buffer("attn_mask", text.attn_mask, persistent=False)

    @property
    def width(self) -> int:
        """Width of a token embedding."""
        return self.positional_embedding.shape[1]

    @property
    def context_length(self) -> int:
        """Number of positions in a prompt."""
        return self.positional_embedding.shape[0]

    def forward(
        self, prompts: Float[Tensor, "prompts positions width"], end: int
    ) -> Float[Tensor, "prompts dim"]:
        """Encode prompts.

        Args:
            prompts: Token embeddings without positions.
            end: Position of the end token, where the sentence is read off.

        Returns:
            Text embeddings, not normalised.
        """
        length = prompts.shape[1]
        x = prompts + self.positional_embedding[:length]
        mask = self.attn_mask[:length, :length].to(x.dtype)
        for block in self.transformer.resblocks:
            x = block(x, attn_mask=mask)
        return self.ln_final(x[:, end]) @ self.text_projection


def text_part(clip: nn.Module) -> nn.Module:
    """Give what holds an open_clip model's text transformer: its `text`, or the model itself."""
    return getattr(clip, "text", clip)


def _check_supported(text: nn.Module) -> None:
    """Refuse towers whose forward pass this module would not reproduce."""
    mask = getattr(text, "attn_mask", None)
    if mask is None or getattr(text, "cls_emb", None) is not None:
        raise UsageError("the text tower must be causal and read its end token; this one is not")
    blocks = text.get_submodule("transformer.resblocks").children()
    if not all(type(block) is ResidualAttentionBlock for block in blocks):
        raise UsageError(
            "text blocks of this type are not supported; use a CLIP of open_clip's own blocks"
        )
    if not isinstance(text.text_projection, nn.Parameter):
        raise UsageError("the text projection must be one matrix without bias")
    upper = torch.full_like(mask, float("-inf")).triu(1)
    if not torch.equal(mask, upper):
        raise UsageError("the text tower's attention mask must be causal")
