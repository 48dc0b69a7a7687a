"""Losses on probability maps: focal and Dice, as the published anomaly detectors compute them."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LABEL_SMOOTHING = 1e-5


def focal_loss(
    probabilities: Float[Tensor, "batch 2 height width"],
    mask: Bool[Tensor, "batch height width"],
    *,
    gamma: float = 2.0,
) -> Float[Tensor, ""]:
    """Focal loss of per-pixel probabilities (normal, abnormal), averaged over all pixels.

    `-(1 - p_t)^gamma ln p_t` with `p_t = onehot · p + s` and labels clamped to [s, 1 - s], s = 1e-5
    (methods/vip2clip.md 1.7).
    """
    abnormal = mask.to(probabilities.dtype)
    onehot = torch.stack([1 - abnormal, abnormal], dim=1).clamp(
        LABEL_SMOOTHING, 1 - LABEL_SMOOTHING
    )
    target = (onehot * probabilities).sum(dim=1) + LABEL_SMOOTHING  # (batch, height, width)
    return (-((1 - target) ** gamma) * target.log()).mean()


def dice_loss(
    probability: Float[Tensor, "batch height width"], mask: Bool[Tensor, "batch height width"]
) -> Float[Tensor, ""]:
    """One minus the Dice overlap of each image, averaged over the batch; smoothed by 1.

    The published code sums over rows instead of images when a batch holds exactly one; vipx never does
    (methods/vip2clip.md, D17).
    """
    target = mask.to(probability.dtype).flatten(1)
    p = probability.flatten(1)
    overlap = (2 * (p * target).sum(dim=1) + 1) / (p.sum(dim=1) + target.sum(dim=1) + 1)
    return 1 - overlap.mean()
