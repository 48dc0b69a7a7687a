"""How a patch meets the text that its subspaces' mixture makes for it."""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Texts:
    """The text embeddings of a method, of unit length; the states' order is normal, abnormal.

    As `text_embeddings` they are 2 + 2 K: the token-agnostic pair, K normal subspaces, then K abnormal ones.
    """

    pair: Float[Tensor, "2 dim"]
    bank: Float[Tensor, "2 subspaces dim"]


def affinity(
    cosines: Float[Tensor, "*images tokens 2 subspaces"],
) -> Float[Tensor, "*images tokens subspaces"]:
    """Give the mean of both states' cosines, so that the assignment cannot tell what is anomalous."""
    return cosines.mean(dim=-2)


def subspace_cosines(
    patches: Float[Tensor, "*images tokens dim"], bank: Float[Tensor, "2 subspaces dim"]
) -> Float[Tensor, "*images tokens 2 subspaces"]:
    """Compare every patch with every subspace of both states."""
    return (patches @ bank.flatten(0, 1).T).unflatten(-1, bank.shape[:2])


def mixed_cosines(
    patches: Float[Tensor, "*images tokens dim"],
    weights: Float[Tensor, "*images tokens subspaces"],
    bank: Float[Tensor, "2 subspaces dim"],
) -> Float[Tensor, "*images tokens 2"]:
    """Compare each patch with its own two texts `unit(sum_k W_ik t_k)`, as the definition says."""
    own = F.normalize(weights[..., None, None, :] @ bank, dim=-1)  # (..., tokens, 2, 1, dim)
    return (own.squeeze(-2) * patches[..., None, :]).sum(dim=-1)


def regrouped_cosines(
    weights: Float[Tensor, "*images tokens subspaces"],
    cosines: Float[Tensor, "*images tokens subspaces"],
    gram: Float[Tensor, "*copies subspaces subspaces"],
) -> Float[Tensor, "*images tokens"]:
    """Give one state's `mixed_cosines` without a text for each patch.

    `p . unit(sum_k W_ik t_k) = (sum_k W_ik p . t_k) / sqrt(W_i G W_i^T)` with G the subspaces' inner products.
    """
    squares = ((weights @ gram) * weights).sum(dim=-1)
    return (weights * cosines).sum(dim=-1) / squares.clamp_min(1e-12).sqrt()
