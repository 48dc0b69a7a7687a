"""The demo's training, in a plan of seconds: whole, repeatable, and of seen categories only."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from vipx.errors import UsageError
from vipx.training.demo.__main__ import main
from vipx.training.demo.batches import MASK_SHRINK, View, random_batch
from vipx.training.demo.plan import TINY, DemoPlan
from vipx.training.demo.pool import Pool, drawn_pool
from vipx.training.demo.stages import BACKBONE, CHECKPOINT, make_demo
from vipx.training.demo.training import coverage
from vipx.training.methods.checkpoints import load_method, vision_from
from vipx.training.methods.method import predict
from vipx.training.model.backbone import Backbone
from vipx.training.model.weights import clip_from_file


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    make_demo(folder, TINY)
    return folder


@pytest.mark.slow
def test_a_tiny_run_leaves_a_model_that_scores_images(made: Path) -> None:
    clip = clip_from_file(made / BACKBONE)
    loaded = load_method(made / CHECKPOINT)
    assert loaded.description is not None
    assert loaded.description.backbone["sha256"] == clip.sha256
    backbone = Backbone(clip, vision_from(loaded.description, made / CHECKPOINT))
    image = torch.randint(256, (1, TINY.side, TINY.side, 3), dtype=torch.uint8)
    result = predict(backbone, loaded.method, image)
    assert result.anomaly_maps.shape == (1, TINY.side, TINY.side)
    assert 0 <= result.scores[0] <= 1


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(made: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--out", str(tmp_path), "--tiny"], catch_exceptions=False)
    assert result.exit_code == 0
    assert (tmp_path / BACKBONE).read_bytes() == (made / BACKBONE).read_bytes()


@pytest.mark.slow
def test_two_workers_draw_the_pool_of_one(tmp_path: Path) -> None:
    one = drawn_pool(tmp_path / "one", TINY)
    two = drawn_pool(tmp_path / "two", replace(TINY, workers=2))
    assert np.array_equal(one.images, two.images)
    assert np.array_equal(one.masks, two.masks)


def test_masks_follow_their_images_through_crops_and_turns() -> None:
    # White exactly where anomalous: whatever happens to colours, the two must stay together.
    masks = np.zeros((3, TINY.drawn_side, TINY.drawn_side), np.bool_)
    masks[:, 10:40, 20:34] = True
    images = np.repeat(masks[..., None], 3, axis=3).astype(np.uint8) * 255
    for seed in range(5):
        batch = random_batch(
            Pool(images, masks), 4, np.random.default_rng(seed), View(TINY.side, 0.66)
        )
        small = TINY.side // MASK_SHRINK
        grey = batch.images.float().mean(3)
        coarse = torch.nn.functional.adaptive_avg_pool2d(grey[:, None], (small, small))[:, 0]
        bright = coarse > (grey.amin((1, 2)) + grey.amax((1, 2)))[:, None, None] / 2
        assert (bright == batch.masks).float().mean() > 0.93
        assert batch.labels.tolist() == batch.masks.flatten(1).any(1).long().tolist()


def test_a_fifth_of_a_patch_is_enough_to_count() -> None:
    masks = torch.zeros(1, 10, 20, dtype=torch.bool)
    masks[0, :2, :10] = True
    assert coverage(masks, (1, 2)).tolist() == [[1.0, 0.0]]


def test_impossible_plans_are_refused() -> None:
    with pytest.raises(UsageError, match="pool"):
        DemoPlan(drawn=3)
    with pytest.raises(UsageError, match="exceed"):
        DemoPlan(drawn_side=100)
