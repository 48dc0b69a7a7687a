"""A short training on drawn pictures: the loss falls, the subspaces part, the plan keeps its marginals."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from tests.tiny import tiny_backbone
from tests.training.tokenclip.tiny_tokenclip import tiny_tokenclip_config
from vipx.training.data.procedural import draw_part
from vipx.training.methods.objective import Losses, Targets, losses
from vipx.training.methods.tokenclip.method import TokenClip
from vipx.training.methods.tokenclip.objective import SCHEDULE, mean_squared_cosine
from vipx.training.methods.tokenclip.texts import affinity, subspace_cosines
from vipx.training.methods.tokenclip.transport import transport_plan
from vipx.training.model.backbone import Backbone
from vipx.training.model.vision import VisionFeatures, VisionOptions

STEPS = 40


@dataclass(frozen=True)
class Trained:
    backbone: Backbone
    method: TokenClip
    features: VisionFeatures
    totals: list[float]
    apart: list[float]


@pytest.fixture(scope="module")
def trained() -> Trained:
    backbone = tiny_backbone(VisionOptions(40, 48, (1, 2)))
    parts = [
        draw_part(kind, seed, height=40, width=48, defect="random" if seed % 2 else None)
        for kind in ("washer", "carpet")
        for seed in range(4)
    ]
    images = torch.from_numpy(np.stack([part.image for part in parts]))
    masks = torch.from_numpy(np.stack([part.mask for part in parts]))
    targets = Targets(masks.flatten(1).any(dim=1).long(), masks)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(SCHEDULE.seed)
        method = TokenClip.untrained(tiny_tokenclip_config(), backbone)
        features = backbone(images)
    (group,) = method.groups().values()
    # A CLIP with random weights needs a faster rate than a trained one.
    adam = torch.optim.Adam(group, lr=1e-2, betas=SCHEDULE.betas)
    totals, apart = [], []
    for _ in range(STEPS):
        adam.zero_grad(set_to_none=True)
        terms = step_losses(method, backbone, features, targets)
        terms.total.backward()
        adam.step()
        totals.append(terms.total.item())
        apart.append(mean_squared_cosine(method.texts(backbone.text)).item())
    return Trained(backbone, method, features, totals, apart)


def step_losses(
    method: TokenClip, backbone: Backbone, features: VisionFeatures, targets: Targets
) -> Losses:
    forward = method.training_forward(backbone.text, features)
    grid = backbone.vision.grid
    return losses(forward, targets, grid=grid, pixel_weight=SCHEDULE.pixel_weight)


def test_the_loss_falls(trained: Trained) -> None:
    assert np.mean(trained.totals[-5:]) < 0.97 * np.mean(trained.totals[:5])


def test_the_subspaces_mean_squared_cosine_falls(trained: Trained) -> None:
    assert trained.apart[0] > 0.9
    assert trained.apart[-1] < 0.7 * trained.apart[0]


def test_the_plans_marginals_hold_behind_training(trained: Trained) -> None:
    config = trained.method.config
    with torch.no_grad():
        bank = trained.method.texts(trained.backbone.text).bank
        shares = affinity(subspace_cosines(trained.features.patch_features, bank))
        plan = transport_plan(shares, epsilon=config.epsilon, iterations=config.iterations)
    assert (plan.sum(dim=-1) * plan.shape[-2] - 1).abs().max() <= 1e-5
    assert (plan.sum(dim=-2) - 1 / config.subspaces).abs().max() <= 1e-3


def test_the_backbone_stays_as_it_was(trained: Trained) -> None:
    fresh = tiny_backbone(VisionOptions(40, 48, (1, 2)))
    for old, new in zip(fresh.parameters(), trained.backbone.parameters(), strict=True):
        assert torch.equal(old, new)
        assert new.grad is None
