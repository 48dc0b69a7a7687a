"""Trains TokenCLIP-R's prompts on drawn parts and measures it beside ViP2-CLIP on categories that neither saw.

    python -m benchmarks.tokenclip_demo backbone.safetensors --vip2clip demo.ckpt
    python -m benchmarks.tokenclip_demo backbone.safetensors --image-score global --json

Every patch and global feature of the drawn training pictures is computed once and kept in memory. TokenCLIP-R
is this project's reconstruction of TokenCLIP; its figures say nothing of the paper's. The demo's backbone was
itself trained with ViP2-CLIP on top, so that it suits ViP2-CLIP better.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import get_args

import click
import numpy as np
import torch
from jaxtyping import Float
from pydantic import JsonValue
from torch import Tensor

from benchmarks.demo_accuracy import DRAWN_SIDE, Row, drawn_samples, mean_row, show
from vipx.errors import CheckpointError, VipxError
from vipx.images import resize_image, resize_mask
from vipx.training.data.procedural import SEEN, UNSEEN, draw_part
from vipx.training.demo.plan import DemoPlan
from vipx.training.methods.checkpoints import load_method, save_method, vision_from
from vipx.training.methods.method import Method, predict
from vipx.training.methods.objective import Targets, losses
from vipx.training.methods.tokenclip.configuration import ImageScore, TokenClipConfig, preset_config
from vipx.training.methods.tokenclip.method import TokenClip
from vipx.training.methods.tokenclip.objective import SCHEDULE, mean_squared_cosine
from vipx.training.methods.tokenclip.texts import affinity, subspace_cosines
from vipx.training.methods.tokenclip.transport import transport_plan
from vipx.training.methods.vip2clip.configuration import Vip2ClipConfig
from vipx.training.metrics import measured
from vipx.training.model.backbone import Backbone
from vipx.training.model.vision import VisionFeatures, VisionOptions
from vipx.training.model.weights import clip_from_file

FIRST_SEED = 2_000_000  # evaluation starts at one million; a part's seed decides it
AT_ONCE = 16
COUNT = click.IntRange(min=1)


@dataclass(frozen=True, slots=True)
class Lesson:
    """Drawn parts of the seen categories as the frozen backbone sees them, with what is wrong with them."""

    features: VisionFeatures
    targets: Targets


@dataclass(frozen=True, slots=True)
class Training:
    """What a training came to.

    Attributes:
        pictures: Drawn and learned from.
        steps: Of `SCHEDULE.batch` pictures.
        seconds: Training alone.
        loss: Mean total over the first and over the last epoch.
        squared_cosine: The subspaces' mean squared cosine before and after.
        column_error: The largest difference of a column of the plan from its share, over 16 pictures.
    """

    pictures: int
    steps: int
    seconds: float
    loss: tuple[float, float]
    squared_cosine: tuple[float, float]
    column_error: float


def drawn_lesson(backbone: Backbone, each: int) -> Lesson:
    """Draw `each` parts of every seen category, half of them with a defect, and encode them."""
    height, width = backbone.vision.options.height, backbone.vision.options.width
    encoded, masks, batch = [], [], []
    for number in range(each * len(SEEN)):
        turn, kind = divmod(number, len(SEEN))
        defect = "random" if turn % 2 else None
        seed = FIRST_SEED + turn
        part = draw_part(SEEN[kind], seed, height=DRAWN_SIDE, width=DRAWN_SIDE, defect=defect)
        batch.append(resize_image(part.image, height=height, width=width))
        masks.append(resize_mask(part.mask, height=height, width=width))
        if len(batch) == AT_ONCE or number == each * len(SEEN) - 1:
            encoded.append(encode(backbone, batch))
            batch = []
    features = VisionFeatures(
        torch.cat([one.global_feature for one in encoded]),
        torch.cat([one.patch_features for one in encoded]),
    )
    stacked = torch.from_numpy(np.stack(masks))
    return Lesson(features, Targets(stacked.flatten(1).any(dim=1).long(), stacked))


@torch.no_grad()
def encode(backbone: Backbone, images: list[np.ndarray]) -> VisionFeatures:
    """Run the frozen backbone."""
    return backbone(torch.from_numpy(np.stack(images)))


def batches(count: int, epochs: int, seed: int) -> Iterator[Tensor]:
    """Give the numbers of each step's pictures; every epoch sees all of them but an incomplete last batch."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        order = torch.randperm(count, generator=generator)
        yield from (
            chosen for chosen in order.split(SCHEDULE.batch) if len(chosen) == SCHEDULE.batch
        )


def train(backbone: Backbone, method: TokenClip, lesson: Lesson, epochs: int) -> Training:
    """Train the prompts as scheduled, and say what it came to."""
    (group,) = method.groups().values()
    adam = torch.optim.Adam(group, lr=SCHEDULE.rates["prompts"], betas=SCHEDULE.betas)
    count = len(lesson.targets.labels)
    before, totals, began = squared_cosine(backbone, method), [], perf_counter()
    for step, chosen in enumerate(batches(count, epochs, SCHEDULE.seed), start=1):
        totals.append(one_step(backbone, method, adam, part_of(lesson, chosen)))
        if step % 100 == 0:
            mean = np.mean(totals[-100:])
            print(f"step {step}: loss {mean:.3f}, {perf_counter() - began:.0f} s", file=sys.stderr)
    epoch = len(totals) // epochs
    return Training(
        pictures=count,
        steps=len(totals),
        seconds=perf_counter() - began,
        loss=(float(np.mean(totals[:epoch])), float(np.mean(totals[-epoch:]))),
        squared_cosine=(before, squared_cosine(backbone, method)),
        column_error=column_error(backbone, method, lesson.features.patch_features[:AT_ONCE]),
    )


def part_of(lesson: Lesson, chosen: Tensor) -> Lesson:
    """Take some of the pictures."""
    features, targets = lesson.features, lesson.targets
    return Lesson(
        VisionFeatures(features.global_feature[chosen], features.patch_features[chosen]),
        Targets(targets.labels[chosen], targets.masks[chosen]),
    )


def one_step(
    backbone: Backbone, method: TokenClip, adam: torch.optim.Optimizer, batch: Lesson
) -> float:
    """Take one step; the backbone's parameters get no gradient."""
    adam.zero_grad(set_to_none=True)
    forward = method.training_forward(backbone.text, batch.features)
    grid, weight = backbone.vision.grid, SCHEDULE.pixel_weight
    total = losses(forward, batch.targets, grid=grid, pixel_weight=weight).total
    total.backward()
    adam.step()
    return float(total.detach())


@torch.no_grad()
def squared_cosine(backbone: Backbone, method: TokenClip) -> float:
    """Say how far the subspaces are from orthogonal."""
    texts = method.texts(backbone.text)
    return float(mean_squared_cosine(texts, method.config.orthogonal_space))


@torch.no_grad()
def column_error(
    backbone: Backbone, method: TokenClip, patches: Float[Tensor, "batch layers patches dim"]
) -> float:
    """Compare the columns of each picture's and layer's plan with the share that they should hold."""
    config = method.config
    shares = affinity(subspace_cosines(patches, method.texts(backbone.text).bank))
    plan = transport_plan(shares, epsilon=config.epsilon, iterations=config.iterations)
    return float((plan.sum(dim=-2) - 1 / config.subspaces).abs().max())


def measure(backbone: Backbone, method: Method, each: int) -> list[Row]:
    """Score drawn parts of every category that no training saw, and give the mean of all categories last."""
    options = backbone.vision.options
    rows = []
    for category in UNSEEN:
        labels, masks, scores, maps = [], [], [], []
        for sample in drawn_samples(category, each, (DRAWN_SIDE, DRAWN_SIDE)):
            image = resize_image(sample.image, height=options.height, width=options.width)
            result = predict(backbone, method, torch.from_numpy(image[None].copy()))
            labels.append(sample.anomalous)
            masks.append(resize_mask(sample.mask, height=options.height, width=options.width))
            scores.append(result.scores[0])
            maps.append(result.anomaly_maps[0])
        figures = measured(np.array(labels), np.array(scores), np.stack(masks), np.stack(maps))
        rows.append(Row(category, each, each, figures))
    return [*rows, mean_row(rows)]


def demo_config(backbone: Backbone, image_score: ImageScore) -> TokenClipConfig:
    """Fit the preset to the demo's backbone, whose file holds the rows of a few words."""
    plan = DemoPlan()
    return preset_config(
        len(backbone.text.transformer.resblocks),
        normal_words="good",
        abnormal_words="damaged",
        image_score=image_score,
        map_patches=plan.top_k,
        sigma=plan.sigma,
    )


def trained_tokenclip(
    backbone: Backbone, config: TokenClipConfig, lesson: Lesson, epochs: int
) -> tuple[TokenClip, Training]:
    """Draw fresh prompts and train them."""
    with torch.random.fork_rng():
        torch.manual_seed(SCHEDULE.seed)
        method = TokenClip.untrained(config, backbone)
    training = train(backbone, method, lesson, epochs)
    return method.eval(), training


def vip2clip_beside(path: Path | None, backbone_file: Path) -> tuple[Method | None, Backbone]:
    """Load ViP2-CLIP's checkpoint, and the backbone with the input that it was trained with.

    Raises:
        CheckpointError: The checkpoint belongs to another backbone.
    """
    clip, plan = clip_from_file(backbone_file), DemoPlan()
    if path is None:
        options = VisionOptions(plan.side, plan.side, plan.feature_layers)
        return None, Backbone(clip, options)
    loaded = load_method(path, Vip2ClipConfig())
    if loaded.description is None:
        raise CheckpointError(f"{path}: expected a checkpoint folder of vipx")
    if loaded.description.backbone["sha256"] != clip.sha256:
        raise CheckpointError(f"{path}: trained with another backbone than {backbone_file}")
    return loaded.method, Backbone(clip, vision_from(loaded.description, path))


@click.command()
@click.argument("backbone_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--vip2clip", type=click.Path(exists=True, path_type=Path), help="Its checkpoint.")
@click.option("--train", "drawn", type=COUNT, default=40, help="Pictures a seen category.")
@click.option("--epochs", type=COUNT, default=SCHEDULE.epochs, help="Passes over them.")
@click.option("--each", type=COUNT, default=40, help="Good, and as many bad, parts to score.")
@click.option("--image-score", type=click.Choice(get_args(ImageScore)), default="global")
@click.option("--out", type=click.Path(path_type=Path), help="Keep TokenCLIP-R's checkpoint here.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    backbone_file: Path,
    vip2clip: Path | None,
    drawn: int,
    epochs: int,
    each: int,
    image_score: ImageScore,
    out: Path | None,
    as_json: bool,
) -> None:
    """Train TokenCLIP-R on drawn parts; print its accuracy on unseen ones, and ViP2-CLIP's beside it."""
    try:
        other, backbone = vip2clip_beside(vip2clip, backbone_file)
        config = demo_config(backbone, image_score)
        method, training = trained_tokenclip(
            backbone, config, drawn_lesson(backbone, drawn), epochs
        )
        if out is not None:
            made: dict[str, JsonValue] = {
                "program": "benchmarks.tokenclip_demo",
                "train": drawn,
                "epochs": epochs,
            }
            save_method(out, method, backbone, training=made)
        named = {"TokenCLIP-R": method} | ({} if other is None else {"ViP2-CLIP": other})
        tables = {name: measure(backbone, one, each) for name, one in named.items()}
    except VipxError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    if as_json:
        plain = {name: [asdict(row) for row in rows] for name, rows in tables.items()}
        print(json.dumps({"training": asdict(training), "unseen": plain}, indent=2))
        return
    print(training)
    for name, rows in tables.items():
        print(f"\n{name}")
        show(rows)


if __name__ == "__main__":
    main()
