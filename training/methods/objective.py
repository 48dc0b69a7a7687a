"""The training objective that all methods share, its terms normalised so that parts of a batch add up."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vipx.training.losses import dice_losses, focal_losses
from vipx.training.methods.scoring import ABNORMAL, Forward


@dataclass(frozen=True, slots=True)
class Losses:
    """The terms of the objective; pixel terms are summed over the feature layers.

    `total = cross_entropy + pixel_weight (focal + dice_anomalous + dice_normal) + penalty`
    (methods/vip2clip.md 1.7, where the weight is 1).
    """

    cross_entropy: Float[Tensor, ""]
    focal: Float[Tensor, ""]
    dice_anomalous: Float[Tensor, ""]
    dice_normal: Float[Tensor, ""]
    penalty: Float[Tensor, ""]
    pixel_weight: float = 1.0

    @property
    def total(self) -> Float[Tensor, ""]:
        """Give what is minimised."""
        pixels = self.focal + self.dice_anomalous + self.dice_normal
        return self.cross_entropy + self.pixel_weight * pixels + self.penalty


@dataclass(frozen=True, slots=True)
class Targets:
    """What a batch should have given.

    Attributes:
        labels: 1 is anomalous.
        masks: True is anomalous.
        known: Images whose masks say the truth; the others count for the cross-entropy alone. None: all.
    """

    labels: Int[Tensor, "batch"]
    masks: Bool[Tensor, "batch height width"]
    known: Bool[Tensor, "batch"] | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Images, and images with known masks, over which the terms are means.

    They are more than the batch's own where the batch is one device's or one slice's part of a step: the parts'
    losses then add up to the whole step's. The penalty is taken in the same share.
    """

    images: int
    known: int


def losses(
    forward: Forward,
    targets: Targets,
    *,
    grid: tuple[int, int],
    pixel_weight: float = 1.0,
    counts: Counts | None = None,
) -> Losses:
    """Compare a forward pass with its targets."""
    batch = targets.labels.shape[0]
    known = targets.known if targets.known is not None else targets.labels >= 0
    counts = counts or Counts(batch, int(known.sum()))
    groups = forward.image_logits.unbind(dim=1)
    entropies = [F.cross_entropy(g, targets.labels, reduction="sum") for g in groups]
    zero = forward.image_logits.new_zeros(())
    penalty = zero if forward.penalty is None else forward.penalty * (batch / counts.images)
    focal, anomalous, normal = _pixel_terms(forward, targets.masks, known, grid)
    share = 1 / max(counts.known, 1)
    return Losses(
        cross_entropy=torch.stack(entropies).mean() / counts.images,
        focal=focal * share,
        dice_anomalous=anomalous * share,
        dice_normal=normal * share,
        penalty=penalty,
        pixel_weight=pixel_weight,
    )


def _pixel_terms(
    forward: Forward,
    masks: Bool[Tensor, "batch height width"],
    known: Bool[Tensor, "batch"],
    grid: tuple[int, int],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """Sum focal and both Dice terms over layers and over images with known masks.

    The two states' probabilities sum to 1 and so do the up-sampling's weights: one plane says both.
    """
    planes = forward.alignment.probabilities[..., ABNORMAL].unflatten(-1, grid)
    if not bool(known.all()):
        planes, masks = planes[known], masks[known]
    zero = planes.sum() * 0  # a step without masks still has a gradient, of zero
    if planes.shape[0] == 0:
        return zero, zero, zero
    large = F.interpolate(planes, size=masks.shape[1:], mode="bilinear", align_corners=False)
    layers = large.unbind(dim=1)
    return (
        torch.stack([focal_losses(p, masks).sum() for p in layers]).sum(),
        torch.stack([dice_losses(p, masks).sum() for p in layers]).sum(),
        torch.stack([dice_losses(1 - p, ~masks).sum() for p in layers]).sum(),
    )
