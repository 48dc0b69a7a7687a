"""The two stages: the whole model learns from dense masks; then, backbone frozen, ICA and FGP as published."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vipx.training.data.procedural import SEEN
from vipx.training.demo.batches import Batch, View, ahead
from vipx.training.demo.plan import PARTS, DemoPlan
from vipx.training.demo.pool import Pool
from vipx.training.methods.objective import Targets, losses
from vipx.training.methods.vip2clip.method import Vip2Clip
from vipx.training.methods.vip2clip.objective import optimiser, training_step
from vipx.training.model.backbone import Backbone
from vipx.training.model.vision import VisionFeatures

PROBE_WEIGHT = 10.0


@dataclass(frozen=True, slots=True)
class Progress:
    """One line of the log: means over the steps since the line before."""

    step: int
    loss: float
    cross_entropy: float


class Probe(nn.Module):
    """A linear reading of every layer's patches that gets the backbone going, and is thrown away.

    Random features give FGP's attention nothing to hold on to; a direct gradient does.
    """

    def __init__(self, layers: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(layers, dim))
        self.bias = nn.Parameter(torch.full((layers,), -2.0))

    def forward(
        self,
        patches: Float[Tensor, "batch layers patches dim"],
        covered: Float[Tensor, "batch patches"],
    ) -> Float[Tensor, ""]:
        """Give the cross-entropy with the patches' coverage."""
        # Unit vectors of 64 numbers differ little: without the factor the weights would have to grow first.
        logits = 10 * (patches * self.weight[:, None]).sum(-1) + self.bias[:, None]
        target = covered[:, None].expand_as(logits)
        return F.binary_cross_entropy_with_logits(logits, target)


def coverage(
    masks: Bool[Tensor, "batch mask_height mask_width"], grid: tuple[int, int]
) -> Float[Tensor, "batch patches"]:
    """Say how anomalous a patch counts: a fifth of its area is enough to count in full."""
    share = F.adaptive_avg_pool2d(masks.float()[:, None], grid)
    return (share * 5).clamp(0, 1).flatten(1)


def pretrain(
    backbone: Backbone,
    method: Vip2Clip,
    pool: Pool,
    plan: DemoPlan,
    rank: int = 0,
) -> Iterator[Progress]:
    """Stage 1: everything learns. Muon and AdamW, warm-up, cosine, clipped gradients.

    Every worker runs this with batches of its own; the gradients are averaged, so all stay equal.
    """
    probe = Probe(len(plan.feature_layers), plan.embed_dim)
    learned = [*_trainable(backbone), *method.parameters(), *probe.parameters()]
    optimisers = _optimisers(learned, _block_matrices(backbone), plan)
    rng = np.random.default_rng([plan.seed, 1, rank])
    shares = [_parts(step, plan) for step in range(1, plan.steps + 1)]
    batches = ahead(pool, plan.batch, shares, rng, View(plan.side, 0.66))
    seen: list[tuple[float, float]] = []
    for step, batch in enumerate(batches, start=1):
        for one in optimisers:
            one.zero_grad(set_to_none=True)
            for group in one.param_groups:
                group["lr"] = group["peak"] * _rate(step, plan)
        seen.append(_gradients(backbone, method, probe, batch, plan.cross_entropy))
        _average(learned, plan.workers)
        nn.utils.clip_grad_norm_(learned, 1.0)
        for one in optimisers:
            one.step()
        if step % 100 == 0 or step == plan.steps:
            yield _progress(step, seen)
            seen = []


def train_heads(
    backbone: Backbone, method: Vip2Clip, pool: Pool, plan: DemoPlan
) -> Iterator[Progress]:
    """Stage 2: the published step on a frozen backbone, at full precision."""
    backbone.requires_grad_(False)
    method.requires_grad_(True)
    adam = optimiser(method, learning_rate=plan.head_rate)
    rng = np.random.default_rng([plan.seed, 2])
    # Whole pictures at the model's own size: one px is then as in the middle of stage 1's zooms.
    view, shares = View(plan.final_side, 1.0), [plan.parts] * plan.head_steps
    batches = ahead(pool, plan.head_batch, shares, rng, view)
    seen: list[tuple[float, float]] = []
    for step, batch in enumerate(batches, start=1):
        with torch.no_grad():
            features = backbone(batch.images)
        terms = training_step(
            backbone, method, adam, features=features, targets=Targets(batch.labels, batch.masks)
        )
        seen.append((float(terms.total.detach()), float(terms.cross_entropy.detach())))
        if step % 100 == 0 or step == plan.head_steps:
            yield _progress(step, seen)
            seen = []


def _gradients(
    backbone: Backbone, method: Vip2Clip, probe: Probe, batch: Batch, extra: float
) -> tuple[float, float]:
    """Run one batch backwards; gives the published loss and its cross-entropy term."""
    features = _encoded(backbone, batch)
    grid = backbone.vision.grid
    forward = method.training_forward(backbone.text, features)
    terms = losses(forward, Targets(batch.labels, batch.masks), grid=grid)
    direct = probe(features.patch_features, coverage(batch.masks, grid))
    total = terms.total + extra * terms.cross_entropy + PROBE_WEIGHT * direct
    total.backward()
    return float(terms.total.detach()), float(terms.cross_entropy.detach())


def _encoded(backbone: Backbone, batch: Batch) -> VisionFeatures:
    """Encode in bfloat16, of which CPUs with AVX-512 do twice as much; the features become float32."""
    with torch.autocast("cpu", torch.bfloat16):
        features = backbone(batch.images)
    return VisionFeatures(features.global_feature.float(), features.patch_features.float())


def _trainable(backbone: Backbone) -> list[nn.Parameter]:
    """Choose all of the backbone but the word table: the prompts' templates hold its rows already."""
    table = backbone.text.token_embedding.weight
    for parameter in backbone.parameters():
        parameter.requires_grad_(parameter is not table)
    return [parameter for parameter in backbone.parameters() if parameter.requires_grad]


def _block_matrices(backbone: Backbone) -> list[nn.Parameter]:
    """Collect the weights of attention and MLP in both towers."""
    towers = (backbone.vision.visual.transformer, backbone.text.transformer)
    return [one for tower in towers for one in tower.parameters() if one.ndim == 2]


def _optimisers(
    learned: list[nn.Parameter], matrices: list[nn.Parameter], plan: DemoPlan
) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for all else.

    With AdamW alone the loss (mean over 100 steps) was 3.33 at step 500, with Muon 3.09.
    """
    chosen = {id(one) for one in matrices}
    others = [one for one in learned if id(one) not in chosen]
    groups: list[dict[str, object]] = [
        {"params": [one for one in others if one.ndim >= 2], "weight_decay": 0.05},
        {"params": [one for one in others if one.ndim < 2], "weight_decay": 0.0},
    ]
    made: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.98), fused=True),
        torch.optim.Muon(
            matrices, lr=plan.matrix_rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"
        ),
    ]
    for one in made:
        for group in one.param_groups:
            group["peak"] = group["lr"]
    return made


def _average(parameters: list[nn.Parameter], workers: int) -> None:
    """Replace the gradients by their mean over all workers."""
    if workers == 1:
        return
    gradients = [one.grad for one in parameters if one.grad is not None]
    flat = torch.cat([one.flatten() for one in gradients])
    dist.all_reduce(flat)
    flat /= workers
    sizes = [one.numel() for one in gradients]
    for gradient, mean in zip(gradients, flat.split(sizes), strict=True):
        gradient.copy_(mean.view_as(gradient))


def _rate(step: int, plan: DemoPlan) -> float:
    """Rise linearly, then fall along half a cosine to 1 % of the highest rate."""
    if step <= plan.warm_up:
        return step / plan.warm_up
    done = (step - plan.warm_up) / max(plan.steps - plan.warm_up, 1)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def _parts(step: int, plan: DemoPlan) -> float:
    """Share of parts among the pictures: they are learned later than surfaces, and need more of the steps."""
    natural = len(PARTS) / len(SEEN)
    return natural + (plan.parts - natural) * min(2 * step / plan.steps, 1.0)


def _progress(step: int, seen: list[tuple[float, float]]) -> Progress:
    loss, cross_entropy = np.mean(seen, axis=0)
    return Progress(step, float(loss), float(cross_entropy))
