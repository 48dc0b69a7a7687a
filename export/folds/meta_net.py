"""Fold: the Meta-Net's MLPs run side by side, and its input bias joins their first layer."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vipx.errors import UsageError
from vipx.export.blocks import Affine
from vipx.export.folds.fold import Fold, probe, relative_difference
from vipx.training.methods.vip2clip.ica import ICA, MetaNet


class FoldedClassTokens(nn.Module):
    """All class tokens of an image from two matrix products."""

    def __init__(self, source: ICA) -> None:
        super().__init__()
        meta_net = _meta_net(source)
        firsts, seconds = zip(*map(_linear_layers, meta_net.mlps), strict=True)
        weight = torch.cat([layer.weight for layer in firsts])
        bias = torch.cat([layer.bias for layer in firsts]) + weight @ meta_net.bias[0]
        self.tokens = len(firsts)
        self.first = Affine(weight, bias)
        second = torch.stack([layer.weight.T for layer in seconds])  # (tokens, hidden, width)
        self.second = nn.Parameter(second.detach(), requires_grad=False)
        shift = torch.stack([layer.bias for layer in seconds]) + source.class_context
        self.shift = nn.Parameter(shift.detach(), requires_grad=False)

    def forward(
        self, global_feature: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch class_tokens width"]:
        """Condition the class tokens on the image."""
        hidden = torch.relu(self.first(global_feature)).unflatten(-1, (self.tokens, 1, -1))
        return (hidden @ self.second).squeeze(2) + self.shift


def _meta_net(source: ICA) -> MetaNet:
    if source.meta_net is None:
        raise UsageError("prompts that no image conditions have no Meta-Net to fold")
    return source.meta_net


def _linear_layers(mlp: nn.Module) -> list[nn.Linear]:
    return [layer for layer in mlp.children() if isinstance(layer, nn.Linear)]


class MetaNetFold(Fold[ICA, FoldedClassTokens]):
    """`W_1 (f + s) + b_1 = W_1 f + (W_1 s + b_1)`, and the class context is added to the last bias.

    The first layers of all tokens are one matrix, the second layers one batched product.
    """

    name = "meta-net"

    def requires(self, source: ICA) -> None:
        """There must be a Meta-Net."""
        _meta_net(source)

    def call(self, source: ICA) -> FoldedClassTokens:
        """Merge biases and stack weights."""
        return FoldedClassTokens(source)

    def ensures(self, source: ICA, folded: FoldedClassTokens) -> float:
        """Condition on random features both ways."""
        feature = probe(3, _meta_net(source).bias.shape[1])
        with torch.no_grad():
            return relative_difference(source.class_tokens(feature), folded(feature))
