"""A transformer block in plain tensors, whose every part a fold may take away."""

import copy
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import Tensor, nn

QUICK_GELU = 1.702


def unit(x: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
    """Scale to unit length, like F.normalize, but without the shape arithmetic that this puts into a graph."""
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(1e-12)


class Norm(nn.Module):
    """LayerNorm over the last axis, computed in at least float32; gain and bias may be folded away."""

    def __init__(self, weight: Tensor, bias: Tensor, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
        self.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
        self.eps = eps

    @classmethod
    def of(cls, norm: nn.LayerNorm) -> "Norm":
        """Copy an open_clip LayerNorm."""
        return cls(norm.weight, norm.bias, norm.eps)

    def forward(self, x: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
        """Normalise; in a half-precision encoder this is an island of float32."""
        wide = x.float() if x.dtype == torch.float16 else x
        return F.layer_norm(wide, self.weight.shape, self.weight, self.bias, self.eps).to(x.dtype)


class Affine(nn.Module):
    """`x @ weight.T + bias`, in the layout of nn.Linear; plain tensors, so that folds can write them."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
        self.bias = (
            None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)
        )

    def forward(self, x: Float[Tensor, "*rows inputs"]) -> Float[Tensor, "*rows outputs"]:
        """Apply the map."""
        return F.linear(x, self.weight, self.bias)


class Block(nn.Module):
    """A pre-norm transformer block in float64, whose parts lie open.

    `x += o(attention(norm_1 x)); x += down(activation(up(norm_2 x)))`.

    Attributes:
        scale: What the attention logits are multiplied with; 1 once it is folded into `query`.
        activation: `silu` once QuickGELU's constant is folded away.
        branch_scales: LayerScale of the two branches; None where the model has none or it is folded.
        hidden_scale: Factor of each channel behind the activation, once smoothing put it there.
    """

    def __init__(self, source: ResidualAttentionBlock) -> None:
        super().__init__()
        attention = source.attn
        self.heads: int = attention.num_heads
        self.scale: float = (attention.embed_dim // self.heads) ** -0.5
        self.norm_1, self.norm_2 = Norm.of(source.ln_1), Norm.of(source.ln_2)
        weights = attention.in_proj_weight.chunk(3)
        biases = attention.in_proj_bias.chunk(3)
        self.query, self.key, self.value = map(Affine, weights, biases)
        self.output = Affine(attention.out_proj.weight, attention.out_proj.bias)
        self.up = Affine(source.mlp.c_fc.weight, source.mlp.c_fc.bias)
        self.down = Affine(source.mlp.c_proj.weight, source.mlp.c_proj.bias)
        quick = isinstance(source.mlp.gelu, QuickGELU)
        self.activation: Literal["quick_gelu", "gelu", "silu"] = "quick_gelu" if quick else "gelu"
        gains = [getattr(ls, "gamma", None) for ls in (source.ls_1, source.ls_2)]
        self.branch_scales: tuple[Tensor, Tensor] | None = None
        if gains[0] is not None and gains[1] is not None:
            self.branch_scales = gains[0].detach().double(), gains[1].detach().double()
        self.hidden_scale: nn.Parameter | None = None
        self.double()

    def copy(self) -> "Block":
        """Give a copy that a fold may change."""
        return copy.deepcopy(self)

    def forward(
        self,
        x: Float[Tensor, "batch tokens width"],
        mask: Float[Tensor, "tokens tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens width"]:
        """Run the block; `mask` is added to the attention logits."""
        normed = self.norm_1(x)
        x = x + self._scaled(self.output(self.attend(normed, mask)), 0)
        return self.feed_forward(x)

    def attend(
        self, x: Float[Tensor, "batch tokens width"], mask: Float[Tensor, "tokens tokens"] | None
    ) -> Float[Tensor, "batch tokens width"]:
        """Mix the tokens; heads are concatenated, the output projection is not applied."""
        query, key, value = (self.split(part(x)) for part in (self.query, self.key, self.value))
        logits = query @ key.transpose(-1, -2)  # (batch, heads, tokens, tokens)
        if self.scale != 1:
            logits = logits * self.scale
        if mask is not None:
            logits = logits + mask
        return self.merge(logits.softmax(dim=-1) @ value)

    def feed_forward(self, x: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows width"]:
        """Add the second branch."""
        hidden = self.activate(self.up(self.norm_2(x)))
        if self.hidden_scale is not None:
            hidden = hidden * self.hidden_scale
        return x + self._scaled(self.down(hidden), 1)

    def activate(self, x: Float[Tensor, "*rows hidden"]) -> Float[Tensor, "*rows hidden"]:
        """Apply the nonlinearity."""
        if self.activation == "gelu":
            return F.gelu(x)
        return x * torch.sigmoid(QUICK_GELU * x if self.activation == "quick_gelu" else x)

    def split(
        self, x: Float[Tensor, "*batch tokens width"]
    ) -> Float[Tensor, "*batch heads tokens head"]:
        """Cut the last axis into heads."""
        return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)

    def merge(
        self, x: Float[Tensor, "*batch heads tokens head"]
    ) -> Float[Tensor, "*batch tokens width"]:
        """Put the heads side by side again."""
        return x.transpose(-2, -3).flatten(-2)

    def _scaled(self, x: Tensor, branch: int) -> Tensor:
        return x if self.branch_scales is None else x * self.branch_scales[branch].to(x.dtype)
