"""The text tower: prompt embeddings in, one text embedding for each prompt out."""

import torch
import torch.nn.functional as F
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

    def check_known(self, ids: list[int], words: str) -> None:
        """Refuse tokens whose embedding is all zeros: a small backbone file may hold a few rows alone.

        Raises:
            UsageError: A part of `words` is not in the token table.
        """
        if not bool(self.token_embedding.weight.detach()[ids].any(dim=1).all()):
            raise UsageError(
                f"the backbone's token table has no entry for a part of {words!r}; choose words that it holds"
            )

    def forward(
        self,
        prompts: Float[Tensor, "prompts positions width"],
        end: int,
        deep: Float[Tensor, "depth tokens width"] | None = None,
    ) -> Float[Tensor, "prompts dim"]:
        """Encode prompts.

        Args:
            prompts: Token embeddings without positions.
            end: Position of the end token, where the sentence is read off.
            deep: Learnable tokens that replace positions 1 to `tokens` before blocks 2 to `depth + 1`, in all
                prompts.

        Returns:
            Text embeddings, not normalised.
        """
        blocks = self.transformer.resblocks
        if deep is not None and len(deep) >= len(blocks):
            raise UsageError(
                f"prompts for {len(deep) + 1} text blocks were given; the text tower has {len(blocks)}"
            )
        length = prompts.shape[1]
        x = prompts + self.positional_embedding[:length]
        mask = self.attn_mask[:length, :length].to(x.dtype)
        for number, block in enumerate(blocks):
            if deep is not None and 1 <= number <= len(deep):
                x = _replaced(x, deep[number - 1])
            x = block(x, attn_mask=mask)
        return self.ln_final(x[:, end]) @ self.text_projection


def _replaced(
    x: Float[Tensor, "prompts positions width"], tokens: Float[Tensor, "tokens width"]
) -> Float[Tensor, "prompts positions width"]:
    """Put the same tokens behind every prompt's start token."""
    shared = tokens.expand(x.shape[0], -1, -1)
    return torch.cat([x[:, :1], shared, x[:, 1 + tokens.shape[0] :]], dim=1)


def encoded_behind_prefix(
    tower: TextTower,
    prefix: Float[Tensor, "prompts prefix width"],
    tokens: Float[Tensor, "batch prompts tokens width"],
) -> Float[Tensor, "batch prompts dim"]:
    """Encode prompts that begin alike and end with their end token, running the beginning once.

    Causal attention hides the tokens from the prefix, so that every image of a batch shares the prefix's keys
    and values, and gradients reach the prefix once. Equal to calling the tower with whole prompts, up to
    rounding.

    Args:
        tower: The text tower.
        prefix: Token embeddings without positions, the same for all images.
        tokens: What follows for each image; the last token is read off.

    Returns:
        Text embeddings, not normalised.
    """
    start, count = prefix.shape[1], tokens.shape[2]
    x = prefix + tower.positional_embedding[:start]
    y = tokens + tower.positional_embedding[start : start + count]
    mask = tower.attn_mask[: start + count, : start + count].to(y.dtype)
    for block in tower.transformer.resblocks:
        x, y = _block_behind_prefix(block, x, y, mask)
    return tower.ln_final(y[:, :, -1]) @ tower.text_projection


def _block_behind_prefix(
    block: ResidualAttentionBlock,
    x: Float[Tensor, "prompts prefix width"],
    y: Float[Tensor, "batch prompts tokens width"],
    mask: Float[Tensor, "positions positions"],
) -> tuple[Float[Tensor, "prompts prefix width"], Float[Tensor, "batch prompts tokens width"]]:
    """Run one pre-norm block on the prefix alone, and on the tokens, which also see the prefix."""
    attention, start = block.attn, x.shape[1]
    parts = []
    for stream in (x, y):
        projected = F.linear(
            block.ln_1(stream), attention.in_proj_weight, attention.in_proj_bias
        ).unflatten(-1, (3, attention.num_heads, -1))
        parts.append(projected.movedim(-3, 0).transpose(-2, -3))  # (3, ..., heads, tokens, head)
    own, seen = parts[0], parts[1]
    shared = own[:, None].expand(-1, y.shape[0], -1, -1, -1, -1)
    keys, values = (torch.cat([shared[i], seen[i]], dim=-2) for i in (1, 2))
    attended = F.scaled_dot_product_attention(own[0], own[1], own[2], mask[:start, :start])
    looked = F.scaled_dot_product_attention(seen[0], keys, values, mask[start:])
    return _rest(block, x, attended), _rest(block, y, looked)


def _rest(
    block: ResidualAttentionBlock,
    x: Float[Tensor, "*rows tokens width"],
    attended: Float[Tensor, "*rows heads tokens head"],
) -> Float[Tensor, "*rows tokens width"]:
    """Finish a block behind its attention."""
    merged = attended.transpose(-2, -3).flatten(-2)
    x = x + block.ls_1(block.attn.out_proj(merged))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


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
