"""A checkpoint is exported with the backbone that it was trained with, and no other."""

from pathlib import Path

import pytest
import torch

from tests.golden_case import COMMITTED
from tests.tiny import tiny_clip, tiny_config
from vipx.errors import CheckpointError, UsageError
from vipx.export import BackboneChoice, Overrides, load_detector
from vipx.training.methods.checkpoints import save_method
from vipx.training.methods.vip2clip.method import Vip2Clip
from vipx.training.model.backbone import Backbone
from vipx.training.model.vision import VisionOptions
from vipx.training.model.weights import clip_from_file


def write_weights(path: Path, seed: int, dim: int = 32) -> Path:
    clip = tiny_clip(width=64, heads=1, text_width=64, dim=dim, seed=seed)
    torch.save(clip.state_dict(), path)
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_weights(tmp_path / "clip.pt", seed=0)


@pytest.fixture
def checkpoint(tmp_path: Path, weights: Path) -> Path:
    options = VisionOptions(32, 48, (1, 2), pos_embed_resample="bicubic")
    backbone = Backbone(clip_from_file(weights), options)
    method = Vip2Clip.untrained(tiny_config(top_k=7, sigma=3.0), backbone)
    save_method(tmp_path / "x.ckpt", method, backbone, training={})
    return tmp_path / "x.ckpt"


def test_a_checkpoint_brings_its_own_choices(checkpoint: Path, weights: Path) -> None:
    detector = load_detector(checkpoint, BackboneChoice(weights), Overrides())
    options = detector.backbone.vision.options
    assert (options.height, options.width, options.pos_embed_resample) == (32, 48, "bicubic")
    assert (detector.method.config.top_k, detector.method.config.sigma) == (7, 3.0)


def test_the_user_overrides_what_he_names_and_nothing_else(checkpoint: Path, weights: Path) -> None:
    overrides = Overrides(image_size=(64, 64), feature_layers=(2,), top_k=3)
    detector = load_detector(checkpoint, BackboneChoice(weights), overrides)
    assert detector.backbone.vision.grid == (8, 8)
    assert detector.backbone.vision.options.feature_layers == (2,)
    assert (detector.method.config.top_k, detector.method.config.sigma) == (3, 3.0)


def test_the_same_weights_in_another_format_are_the_same_backbone(
    checkpoint: Path, weights: Path, tmp_path: Path
) -> None:
    state = torch.load(weights, weights_only=True)
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "other.pt")
    load_detector(checkpoint, BackboneChoice(tmp_path / "other.pt"), Overrides())


def test_another_backbone_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    other = write_weights(tmp_path / "other.pt", seed=1)
    with pytest.raises(CheckpointError, match="same weights"):
        load_detector(checkpoint, BackboneChoice(other), Overrides())


def test_a_published_checkpoint_of_other_widths_is_refused(tmp_path: Path) -> None:
    other = write_weights(tmp_path / "other.pt", seed=1)
    overrides = Overrides(image_size=(32, 32), feature_layers=(1, 2), top_k=3)
    with pytest.raises(CheckpointError, match="width"):
        load_detector(COMMITTED.checkpoint, BackboneChoice(other), overrides)


def test_more_patches_than_there_are_is_refused(checkpoint: Path, weights: Path) -> None:
    with pytest.raises(UsageError, match="24 patches"):
        load_detector(checkpoint, BackboneChoice(weights), Overrides(top_k=25))
