"""Which subspaces each patch speaks with: entropic optimal transport, and its sparse form."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vipx.training.methods.tokenclip.configuration import TokenClipConfig


def transport_plan(
    affinity: Float[Tensor, "*images tokens subspaces"], *, epsilon: float, iterations: int
) -> Float[Tensor, "*images tokens subspaces"]:
    """Move every token's equal share to the subspaces, each of which receives an equal share.

    Minimises `<P, 1 - affinity> - epsilon H(P)` over plans with row sums 1/N and column sums 1/K by Sinkhorn's
    iterations on the logarithms (Cuturi 2013; Peyre and Cuturi 2019, 4.4). Rows come last: theirs hold up to
    rounding, the columns' up to what so many iterations leave.
    """
    tokens, subspaces = affinity.shape[-2:]
    kernel = _wide(affinity) / epsilon
    rows = torch.zeros_like(kernel[..., :1])  # (..., tokens, 1)
    columns = torch.zeros_like(kernel[..., :1, :])  # (..., 1, subspaces)
    for _ in range(iterations):
        columns = -math.log(subspaces) - log_sum_exp(kernel + rows, dim=-2)
        rows = -math.log(tokens) - log_sum_exp(kernel + columns, dim=-1)
    return (kernel + rows + columns).exp()


def log_sum_exp(x: Tensor, dim: int) -> Tensor:
    """Give log(sum(exp x)) along a kept axis, shifted by its maximum.

    In plain operations: torch.logsumexp becomes ONNX's ReduceLogSumExp, which TensorRT and OpenVINO compute
    without the shift.
    """
    highest = x.amax(dim=dim, keepdim=True)
    return highest + (x - highest).exp().sum(dim=dim, keepdim=True).log()


def assignment(
    affinity: Float[Tensor, "*images tokens subspaces"], config: TokenClipConfig
) -> Float[Tensor, "*images tokens subspaces"]:
    """Say which share of each token every subspace gets; a token's shares sum to 1."""
    if config.assignment == "softmax":
        return (_wide(affinity) / config.epsilon).softmax(dim=-1)
    plan = transport_plan(affinity, epsilon=config.epsilon, iterations=config.iterations)
    return plan * affinity.shape[-2]


def sparse_rows(
    shares: Float[Tensor, "*images tokens subspaces"], top_k: int, tie_width: float
) -> Float[Tensor, "*images tokens subspaces"]:
    """Keep the `top_k` largest shares of each token, rescaled to sum 1.

    With a `tie_width` w > 0 a share s is multiplied by `clamp(1/2 + (s - c) / w, 0, 1)`, c halfway between the
    k-th and the next share. That is the mask wherever the two differ by w or more, and continuous: where they
    are equal, each counts half. With w = 0 it is the plain mask, which keeps all shares tied with the k-th.
    """
    kept = shares
    if tie_width == 0:
        least = shares.topk(top_k, dim=-1, sorted=True).values[..., -1:]
        kept = shares * (shares >= least).to(shares.dtype)
    elif top_k < shares.shape[-1]:
        edge = shares.topk(top_k + 1, dim=-1, sorted=True).values[..., -2:]
        middle = edge.mean(dim=-1, keepdim=True)
        kept = shares * ((shares - middle) / tie_width + 0.5).clamp(0, 1)
    return kept / kept.sum(dim=-1, keepdim=True)


@torch.no_grad()
def subspace_weights(
    affinity: Float[Tensor, "*images tokens subspaces"], config: TokenClipConfig
) -> Float[Tensor, "*images tokens subspaces"]:
    """Give each token's few subspaces and their weights; no gradient passes the assignment."""
    return sparse_rows(assignment(affinity, config), config.top_k, config.tie_width)


def _wide(x: Tensor) -> Tensor:
    """Compute in at least float32: half precision would be divided by a small epsilon."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
