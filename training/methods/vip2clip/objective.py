"""The training objective of ViP2-CLIP, its optimiser, and one step."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vipx.training.losses import dice_loss, focal_loss
from vipx.training.methods.vip2clip import utpa
from vipx.training.methods.vip2clip.ica import ABNORMAL, NORMAL
from vipx.training.methods.vip2clip.method import Forward, Vip2Clip
from vipx.training.model.backbone import Backbone
from vipx.training.model.vision import VisionFeatures


@dataclass(frozen=True, slots=True)
class Losses:
    """The terms of the objective; pixel terms are summed over the feature layers.

    `total = cross_entropy + focal + dice_anomalous + dice_normal` (methods/vip2clip.md 1.7, lambda = 1).
    """

    cross_entropy: Float[Tensor, ""]
    focal: Float[Tensor, ""]
    dice_anomalous: Float[Tensor, ""]
    dice_normal: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """Give what is minimised."""
        return self.cross_entropy + self.focal + self.dice_anomalous + self.dice_normal


def losses(
    forward: Forward,
    *,
    grid: tuple[int, int],
    labels: Int[Tensor, "batch"],
    masks: Bool[Tensor, "batch height width"],
) -> Losses:
    """Compare a forward pass with its labels (1 is anomalous) and masks (true is anomalous)."""
    size = (masks.shape[1], masks.shape[2])
    planes = utpa.upsampled_probabilities(forward.alignment, grid, size)
    layers = planes.unbind(dim=1)
    groups = forward.image_logits.unbind(dim=1)
    return Losses(
        cross_entropy=torch.stack([F.cross_entropy(logits, labels) for logits in groups]).mean(),
        focal=torch.stack([focal_loss(p, masks) for p in layers]).sum(),
        dice_anomalous=torch.stack([dice_loss(p[:, ABNORMAL], masks) for p in layers]).sum(),
        dice_normal=torch.stack([dice_loss(p[:, NORMAL], ~masks) for p in layers]).sum(),
    )


def optimiser(
    method: Vip2Clip, *, learning_rate: float = 1e-3, fgp_learning_rate: float = 1e-5
) -> torch.optim.Adam:
    """Give the published optimiser: Adam without decay, the FGP a hundred times slower."""
    groups = [
        {"params": list(method.ica.parameters()), "lr": learning_rate},
        {"params": list(method.fgp.parameters()), "lr": fgp_learning_rate},
    ]
    return torch.optim.Adam(groups, betas=(0.9, 0.999))


def training_step(
    backbone: Backbone,
    method: Vip2Clip,
    adam: torch.optim.Optimizer,
    *,
    features: VisionFeatures,
    labels: Int[Tensor, "batch"],
    masks: Bool[Tensor, "batch height width"],
) -> Losses:
    """Take one step of the learned part; the backbone's parameters get no gradient."""
    adam.zero_grad(set_to_none=True)
    terms = losses(
        method(backbone.text, features), grid=backbone.vision.grid, labels=labels, masks=masks
    )
    terms.total.backward()
    adam.step()
    return terms
