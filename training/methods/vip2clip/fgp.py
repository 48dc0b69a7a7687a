"""FGP, the fine-grained perception module: the two texts look at the patches and come back changed."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vipx.errors import UsageError
from vipx.training.methods.vip2clip.configuration import Vip2ClipConfig


class FGP(nn.Module):
    """Cross-attention from texts to patches, without residual; one set of weights for all layers.

    `g = unit(W_o · concat_h softmax(q_h · K_h^T) V_h + b_o)`, where `q` comes from the text and K, V from the
    patches; the published code scales nothing (methods/vip2clip.md 1.4).
    """

    def __init__(self, dim: int, config: Vip2ClipConfig) -> None:
        super().__init__()
        if dim % config.fgp_heads:
            raise UsageError(f"{config.fgp_heads} FGP heads do not divide the width {dim}")
        self.heads = config.fgp_heads
        self.scale = 1.0 if config.fgp_scale == "none" else 1 / math.sqrt(dim // config.fgp_heads)
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)
        # The published module carries this number and never uses it; kept so that checkpoints round-trip.
        self.unused_temperature = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(
        self,
        text: Float[Tensor, "batch 2 dim"],
        patches: Float[Tensor, "batch layers patches dim"],
    ) -> Float[Tensor, "batch layers 2 dim"]:
        """Align both texts with the patches of every layer; all vectors have unit length."""
        query = self._split(self.query(text))[:, None]  # (batch, 1, heads, 2, head width)
        key, value = self._split(self.key(patches)), self._split(self.value(patches))
        weights = (query @ key.transpose(-1, -2) * self.scale).softmax(dim=-1)
        pooled = (weights @ value).transpose(-2, -3).flatten(-2)  # (batch, layers, 2, dim)
        return F.normalize(self.output(pooled), dim=-1)

    def regrouped(
        self,
        text: Float[Tensor, "batch 2 dim"],
        patches: Float[Tensor, "batch layers patches dim"],
    ) -> Float[Tensor, "batch layers 2 dim"]:
        """Compute `forward` with the key projection on the queries and the value projection behind the pooling.

        The key bias, which cancels in the softmax, is left out: its gradient is None instead of rounding
        (methods/vip2clip.md 1.12, 2; the proof stands in export/folds/fgp.py).
        """
        by_head = (self.heads, -1)
        query = self._split(self.query(text) * self.scale)  # (batch, heads, 2, head)
        queries = (query @ self.key.weight.unflatten(0, by_head)).flatten(1, 2)
        weights = (queries[:, None] @ patches.transpose(-1, -2)).softmax(dim=-1)
        pooled = (weights @ patches).unflatten(2, (self.heads, 2))
        values = self.value.weight.unflatten(0, by_head).transpose(1, 2)  # (heads, dim, head)
        mixed = pooled @ values + self.value.bias.unflatten(0, by_head)[:, None]
        return F.normalize(self.output(mixed.transpose(2, 3).flatten(3)), dim=-1)

    def learned(self) -> list[nn.Parameter]:
        """Give the parameters that a training can change: all but the unused number and the key bias."""
        idle = (self.unused_temperature, self.key.bias)
        return [value for value in self.parameters() if all(value is not one for one in idle)]

    def _split(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows_by_head head_width"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)
