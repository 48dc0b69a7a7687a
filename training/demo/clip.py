"""A small CLIP with random weights, in open_clip's own classes and OpenAI's layout."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import torch
from jaxtyping import Float
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save_file
from torch import Tensor, nn

from vipx.training.demo.plan import DemoPlan

WORDS = ("good", "damaged", "normal", "perfect", "flawless", "broken", "defective", "anomalous")
"""State words whose token rows are kept; prompts use no other word."""


def small_clip(plan: DemoPlan) -> nn.Module:
    """Make the backbone; torch's seed decides its weights."""
    vision = CLIPVisionCfg(
        layers=plan.vision_layers,
        width=plan.vision_width,
        patch_size=plan.patch,
        image_size=plan.side,
    )
    text = CLIPTextCfg(
        vocab_size=_vocabulary(),
        width=plan.embed_dim,
        heads=plan.embed_dim // 64,
        layers=plan.text_layers,
    )
    clip = open_clip.CLIP(
        embed_dim=plan.embed_dim, vision_cfg=vision, text_cfg=text, quick_gelu=True
    )
    positions = _waves(plan.side // plan.patch, plan.vision_width)
    with torch.no_grad():
        clip.visual.positional_embedding[1:] = positions
        # Word rows of deviation 0.02 are lost under the learned ones; two words must be two words.
        clip.token_embedding.weight.normal_(std=0.2)
        for block in clip.visual.transformer.resblocks:
            _compare(block.attn)
    return clip


def _compare(attention: nn.MultiheadAttention) -> None:
    """Start attention so that every patch looks at patches like itself and subtracts them.

    Per head W_q^T W_k is about 0.7 (I + Z), and W_o W_v about 0.4 (Z - I), Z random of deviation d^-1/2
    (mimetic initialisation, Trockman and Kolter 2023). What remains is what no other patch has.
    """
    width, heads = attention.embed_dim, attention.num_heads
    rows = width // heads
    query, key, value = attention.in_proj_weight.view(3, width, width)
    for head in range(heads):
        part = slice(head * rows, (head + 1) * rows)
        left, right = _factors(0.7 * (torch.eye(width) + torch.randn(width, width) / width**0.5))
        query[part], key[part] = left.T[:rows], right[:rows]
    left, right = _factors(0.4 * (torch.randn(width, width) / width**0.5 - torch.eye(width)))
    attention.out_proj.weight.copy_(left)
    value.copy_(right)


def _factors(
    product: Float[Tensor, "width width"],
) -> tuple[Float[Tensor, "width width"], Float[Tensor, "width width"]]:
    """Split a matrix into two of equal size by its singular values, largest first."""
    u, s, v = torch.linalg.svd(product)
    return u * s.sqrt(), s.sqrt()[:, None] * v


def _waves(side: int, width: int) -> Float[Tensor, "patches width"]:
    """Sines and cosines of row and column: neighbours start out alike, which random rows would not."""
    quarter = width // 4
    rates = 1.0 / 10 ** (2 * np.arange(quarter) / quarter)
    rows, cols = np.divmod(np.arange(side * side), side)
    waves = [f(np.outer(axis, rates)) for axis in (rows, cols) for f in (np.sin, np.cos)]
    return torch.from_numpy(np.concatenate(waves, axis=1).astype(np.float32) * 0.3)


def _vocabulary() -> int:
    return open_clip.tokenizer.SimpleTokenizer().vocab_size


def save_clip(clip: nn.Module, path: Path, words: Sequence[str] = WORDS) -> None:
    """Write the weights; of the token table only the rows that these words need (`.ids`, `.rows`)."""
    tokenizer = open_clip.tokenizer.SimpleTokenizer()
    used = {token for word in words for token in tokenizer.encode(word)}
    ids = torch.tensor(sorted({0, tokenizer.sot_token_id, tokenizer.eot_token_id} | used))
    state = {name: value.detach().contiguous() for name, value in clip.state_dict().items()}
    table = state.pop("token_embedding.weight")
    state |= {"token_embedding.ids": ids, "token_embedding.rows": table[ids].contiguous()}
    save_file(state, path)
