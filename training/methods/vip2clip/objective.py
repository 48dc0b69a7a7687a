"""The published optimiser of ViP2-CLIP, and one step of it."""

import torch

from vipx.training.methods.objective import Losses, Targets, losses
from vipx.training.methods.vip2clip.configuration import SCHEDULE
from vipx.training.methods.vip2clip.method import Vip2Clip
from vipx.training.model.backbone import Backbone
from vipx.training.model.vision import VisionFeatures


def optimiser(
    method: Vip2Clip, *, learning_rate: float = 1e-3, fgp_learning_rate: float = 1e-5
) -> torch.optim.Adam:
    """Give the published optimiser: Adam without decay, the FGP a hundred times slower."""
    rates = {"ica": learning_rate, "fgp": fgp_learning_rate}
    groups = [{"params": found, "lr": rates[name]} for name, found in method.groups().items()]
    return torch.optim.Adam(groups, betas=SCHEDULE.betas)


def training_step(
    backbone: Backbone,
    method: Vip2Clip,
    adam: torch.optim.Optimizer,
    *,
    features: VisionFeatures,
    targets: Targets,
) -> Losses:
    """Take one step of the learned part; the backbone's parameters get no gradient."""
    adam.zero_grad(set_to_none=True)
    forward = method.training_forward(backbone.text, features)
    terms = losses(forward, targets, grid=backbone.vision.grid)
    terms.total.backward()
    adam.step()
    return terms
