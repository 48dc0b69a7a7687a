"""Losses on probability maps, one value for each image: focal and Dice, as published detectors compute them."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LABEL_SMOOTHING = 1e-5


def focal_losses(
    probability: Float[Tensor, "batch height width"],
    mask: Bool[Tensor, "batch height width"],
    *,
    gamma: float = 2.0,
) -> Float[Tensor, "batch"]:
    """Focal loss of each pixel's anomaly probability, averaged over an image's pixels.

    `-(1 - p_t)^gamma ln p_t` with `p_t = onehot · (1 - p, p) + s` and labels clamped to [s, 1 - s], s = 1e-5
    (methods/vip2clip.md 1.7).
    """
    hot = mask.to(probability.dtype).clamp(LABEL_SMOOTHING, 1 - LABEL_SMOOTHING)
    # hot p + (1 - hot)(1 - p), in the form that keeps the fewest planes for the gradient
    target = torch.addcmul(1 - hot + LABEL_SMOOTHING, 2 * hot - 1, probability)
    return (-((1 - target) ** gamma) * target.log()).flatten(1).mean(dim=1)


def dice_losses(
    probability: Float[Tensor, "batch height width"], mask: Bool[Tensor, "batch height width"]
) -> Float[Tensor, "batch"]:
    """One minus the Dice overlap of each image, smoothed by 1.

    The published code sums over rows instead of images when a batch holds exactly one; vipx never does
    (methods/vip2clip.md, D17).
    """
    target = mask.to(probability.dtype).flatten(1)
    p = probability.flatten(1)
    return 1 - (2 * (p * target).sum(dim=1) + 1) / (p.sum(dim=1) + target.sum(dim=1) + 1)
