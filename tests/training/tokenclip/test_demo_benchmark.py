"""The script that measures TokenCLIP-R beside ViP2-CLIP runs, trains and repeats itself."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks import tokenclip_demo
from vipx.training.data.procedural import SEEN, UNSEEN
from vipx.training.demo.clip import save_clip, small_clip
from vipx.training.demo.plan import TINY
from vipx.training.methods.checkpoints import load_method, save_method
from vipx.training.methods.vip2clip.configuration import Vip2ClipConfig, preset_config
from vipx.training.methods.vip2clip.method import Vip2Clip
from vipx.training.model.backbone import Backbone
from vipx.training.model.vision import VisionOptions
from vipx.training.model.weights import clip_from_file


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A backbone and a ViP2-CLIP checkpoint as the demo's training leaves them, but untrained."""
    folder = tmp_path_factory.mktemp("demo")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_clip(small_clip(TINY), folder / "backbone.safetensors")
        options = VisionOptions(TINY.side, TINY.side, TINY.feature_layers)
        backbone = Backbone(clip_from_file(folder / "backbone.safetensors"), options)
        config = preset_config("official", normal_word="good", top_k=TINY.top_k)
        method = Vip2Clip.untrained(config, backbone)
    save_method(folder / "demo.ckpt", method, backbone, training={})
    return folder / "backbone.safetensors", folder / "demo.ckpt"


@pytest.mark.slow
def test_a_lesson_shows_all_seen_categories_half_of_them_defective(
    files: tuple[Path, Path],
) -> None:
    _, backbone = tokenclip_demo.vip2clip_beside(files[1], files[0])
    lesson = tokenclip_demo.drawn_lesson(backbone, 2)
    assert lesson.targets.labels.tolist() == [0] * len(SEEN) + [1] * len(SEEN)
    assert lesson.features.patch_features.shape == (2 * len(SEEN), 2, 16, 64)
    assert torch.equal(lesson.targets.masks.flatten(1).any(dim=1).long(), lesson.targets.labels)


def test_every_epoch_takes_every_picture_once_in_another_order() -> None:
    first, second = np.array(list(tokenclip_demo.batches(24, 2, 0))).reshape(2, 24)
    assert sorted(first) == sorted(second) == list(range(24))
    assert not np.array_equal(first, second)


@pytest.mark.slow
def test_both_methods_are_measured_on_unseen_categories(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    weights, checkpoint = map(str, files)
    out = tmp_path / "token.ckpt"
    options = ["--train", "2", "--epochs", "2", "--each", "1", "--json", "--out", str(out)]
    arguments = [weights, "--vip2clip", checkpoint, *options]
    result = CliRunner().invoke(tokenclip_demo.main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert set(record["unseen"]) == {"TokenCLIP-R", "ViP2-CLIP"}
    for rows in record["unseen"].values():
        assert {row["category"] for row in rows} == {*UNSEEN, "mean"}
    training = record["training"]
    assert training["steps"] == 2 * (2 * len(SEEN) // 8)
    assert training["loss"][1] < training["loss"][0]
    assert training["column_error"] <= 1e-3
    assert load_method(out, Vip2ClipConfig()).method.name == "tokenclip"


def test_a_checkpoint_of_another_backbone_is_refused(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        save_clip(small_clip(TINY), tmp_path / "other.safetensors")
    arguments = [str(tmp_path / "other.safetensors"), "--vip2clip", str(files[1])]
    result = CliRunner().invoke(tokenclip_demo.main, arguments)
    assert result.exit_code == 4
    assert "another backbone" in result.output
