"""A CLIP loads from every format that people have, and its options do what they say."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from open_clip.transformer import QuickGELU, VisionTransformer
from safetensors.torch import save_file

from tests.tiny import NO_HASH, tiny_backbone, tiny_clip
from vipx.errors import CheckpointError, UsageError
from vipx.training.model.backbone import Backbone, load_clip
from vipx.training.model.vision import VisionOptions
from vipx.training.model.weights import (
    LoadedClip,
    clip_from_file,
    clip_from_open_clip,
    parameters_sha256,
)

SIZE = VisionOptions(height=32, width=32, feature_layers=(1, 2))


@pytest.fixture(scope="module")
def openai() -> torch.nn.Module:
    """A CLIP whose shapes say everything, as OpenAI's do: heads of 64."""
    return tiny_clip(width=64, heads=1, text_width=64, dim=32)


def outputs(loaded: LoadedClip) -> torch.Tensor:
    image = torch.arange(32 * 32 * 3, dtype=torch.uint8).reshape(1, 32, 32, 3)
    return Backbone(loaded, SIZE)(image).patch_features


def save_plain(model: torch.nn.Module, path: Path) -> None:
    torch.save(model.state_dict(), path)


def save_wrapped(model: torch.nn.Module, path: Path) -> None:
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, path)


def save_safetensors(model: torch.nn.Module, path: Path) -> None:
    save_file(dict(model.state_dict()), path.with_suffix(".safetensors"))
    path.with_suffix(".safetensors").rename(path)


class Openais(torch.nn.Module):
    """A module that torch.jit can save with OpenAI's names, as OpenAI's archives are."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.visual = torch.nn.Module()
        for name, value in model.state_dict().items():
            module: torch.nn.Module = self
            *parents, leaf = name.split(".")
            for parent in parents:
                if not hasattr(module, parent):
                    module.add_module(parent, torch.nn.Module())
                module = getattr(module, parent)
            module.register_buffer(leaf, value.clone())
        self.register_buffer("input_resolution", torch.tensor(16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def save_jit(model: torch.nn.Module, path: Path) -> None:
    torch.jit.save(torch.jit.script(Openais(model)), str(path))


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")  # how the archive is made
@pytest.mark.parametrize(
    ("save", "name"),
    [
        (save_plain, "clip.pt"),
        (save_wrapped, "clip.pt"),
        (save_safetensors, "clip.safetensors"),
        (save_jit, "ViT-L-14-336px.pt"),
    ],
)
def test_weights_load_from_every_format(
    openai: torch.nn.Module, tmp_path: Path, save: object, name: str
) -> None:
    save(openai, tmp_path / name)  # type: ignore[operator]
    loaded = clip_from_file(tmp_path / name)
    expected = outputs(LoadedClip(openai, "direct", NO_HASH))
    assert torch.equal(outputs(loaded), expected)
    assert loaded.sha256 == parameters_sha256(openai), "the format does not change who it is"
    assert not any(p.requires_grad for p in loaded.model.parameters())


def test_half_precision_weights_become_float32(openai: torch.nn.Module, tmp_path: Path) -> None:
    state = {name: value.half() for name, value in openai.state_dict().items()}
    torch.save(state, tmp_path / "clip.pt")
    loaded = clip_from_file(tmp_path / "clip.pt")
    for name, value in loaded.model.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, state[name].float()), name


def test_a_state_dict_without_a_tower_is_refused(openai: torch.nn.Module, tmp_path: Path) -> None:
    state = {k: v for k, v in openai.state_dict().items() if not k.startswith("visual.")}
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(CheckpointError, match="--backbone"):
        clip_from_file(tmp_path / "clip.pt")


def test_a_state_dict_with_one_weight_missing_names_it(
    openai: torch.nn.Module, tmp_path: Path
) -> None:
    state = dict(openai.state_dict())
    del state["ln_final.bias"]
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(CheckpointError, match=r"ln_final\.bias"):
        clip_from_file(tmp_path / "clip.pt")


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"weights": None, "name": None, "tag": None}, "--backbone-weights"),
        ({"weights": None, "name": "ViT-B-32", "tag": None}, "--pretrained"),
        ({"weights": Path("x"), "name": None, "tag": "openai"}, "one of them"),
        ({"weights": None, "name": "ViT-Z-99", "tag": "openai"}, "no such model"),
        ({"weights": None, "name": "ViT-B-32", "tag": "none_such"}, "no such weights"),
    ],
)
def test_contradictory_choices_are_refused(choice: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load_clip(**choice)  # type: ignore[arg-type]


def test_the_activation_is_an_explicit_choice() -> None:
    clip = tiny_clip(quick_gelu=True)
    default = Backbone(LoadedClip(clip, "t", NO_HASH), SIZE)
    assert default.identity.activation == "quick_gelu"
    before = default(torch.zeros(1, 32, 32, 3, dtype=torch.uint8)).patch_features
    changed = Backbone(LoadedClip(clip, "t", NO_HASH), SIZE, "gelu")
    assert changed.identity.activation == "gelu"
    after = changed(torch.zeros(1, 32, 32, 3, dtype=torch.uint8)).patch_features
    assert not torch.allclose(before, after, atol=1e-6)
    assert not any(isinstance(m, QuickGELU) for m in clip.modules())


def test_positions_stretch_as_named() -> None:
    table = tiny_backbone().vision.visual.positional_embedding  # 2 x 2 grid
    grid = table[1:].T.reshape(1, -1, 2, 2)
    for resample, mode, antialias in (
        ("bilinear", "bilinear", False),
        ("bicubic", "bicubic", False),
        ("bicubic-antialias", "bicubic", True),
    ):
        options = VisionOptions(24, 40, (1,), pos_embed_resample=resample)  # type: ignore[arg-type]
        stretched = tiny_backbone(options).vision.positional_embedding()
        expected = F.interpolate(grid, size=(3, 5), mode=mode, antialias=antialias)
        assert torch.equal(stretched[0], table[0]), "the class token's row stays"
        assert torch.equal(stretched[1:].T.reshape(1, -1, 3, 5), expected)


def test_ln_post_on_the_class_token_changes_the_global_feature_alone() -> None:
    image = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    without = tiny_backbone(SIZE)(image)
    with_it = tiny_backbone(VisionOptions(32, 32, (1, 2), cls_ln_post=True))(image)
    assert torch.equal(without.patch_features, with_it.patch_features)
    assert not torch.allclose(without.global_feature, with_it.global_feature)


def test_features_have_unit_length() -> None:
    features = tiny_backbone(SIZE)(torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8))
    assert features.patch_features.shape == (2, 2, 16, 16)
    ones = torch.ones(2, 2, 16)
    torch.testing.assert_close(features.patch_features.norm(dim=-1), ones)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"height": 30, "width": 32, "feature_layers": (1,)}, "24x32"),
        ({"height": 32, "width": 4, "feature_layers": (1,)}, "32x8"),
        ({"height": 32, "width": 32, "feature_layers": (1, 3)}, "only 2 blocks"),
        ({"height": 32, "width": 32, "feature_layers": ()}, "rising"),
        ({"height": 32, "width": 32, "feature_layers": (2, 1)}, "rising"),
        ({"height": 32, "width": 32, "feature_layers": (0, 1)}, "rising"),
    ],
)
def test_impossible_options_name_what_works(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        tiny_backbone(VisionOptions(**options))  # type: ignore[arg-type]


def test_towers_that_would_compute_something_else_are_refused() -> None:
    for visual in (torch.nn.Conv2d(3, 4, 1), _pooled_tower()):
        clip = tiny_clip()
        clip.visual = visual
        with pytest.raises(UsageError, match="vision tower"):
            Backbone(LoadedClip(clip, "other", NO_HASH), SIZE)


def _pooled_tower() -> torch.nn.Module:
    visual = tiny_clip().get_submodule("visual")
    assert isinstance(visual, VisionTransformer)
    visual.pool_type = "avg"
    return visual


@pytest.mark.slow
def test_random_weights_of_open_clip_are_named_random() -> None:
    loaded = clip_from_open_clip("ViT-S-32-alt", None)
    assert loaded.name == "ViT-S-32-alt/random"
    backbone = Backbone(loaded, VisionOptions(64, 96, (3, 6)))
    image = torch.zeros(1, 64, 96, 3, dtype=torch.uint8)
    assert backbone(image).patch_features.shape[:3] == (1, 2, 6)
