"""What TokenCLIP-R adds to the objective, and how it is trained if nobody says otherwise."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vipx.training.methods.method import Schedule
from vipx.training.methods.tokenclip.configuration import OrthogonalSpace
from vipx.training.methods.tokenclip.texts import Texts

SCHEDULE = Schedule(
    rates={"prompts": 1e-3},
    betas=(0.5, 0.999),
    epochs=15,
    batch=8,
    seed=111,
    pixel_weight=4.0,
)
"""AnomalyCLIP's, on which TokenCLIP most likely builds (methods/tokenclip.md 2.2)."""


def mean_squared_cosine(texts: Texts, space: OrthogonalSpace = "raw") -> Float[Tensor, ""]:
    """Say how far the subspaces are from orthogonal, within each state and averaged over both: 0 if they are.

    In `residual` space the token-agnostic text is taken off first, which gets no gradient from this.
    """
    bank = texts.bank
    if space == "residual":
        bank = F.normalize(bank - texts.pair[:, None].detach(), dim=-1)
    count = bank.shape[1]
    if count == 1:
        return bank.new_zeros(())
    gram = bank @ bank.transpose(-1, -2)  # (2, subspaces, subspaces)
    others = ~torch.eye(count, dtype=torch.bool, device=bank.device)
    return gram[:, others].square().mean()
