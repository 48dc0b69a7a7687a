"""The backbone: one frozen CLIP with its two towers, and what must be known to rebuild it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import open_clip
import torch
from jaxtyping import Float, UInt8
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.transformer import QuickGELU
from torch import Tensor, nn

from vipx.errors import UsageError
from vipx.training.model.text import TextTower, text_part
from vipx.training.model.vision import VisionFeatures, VisionOptions, VisionTower
from vipx.training.model.weights import LoadedClip, clip_from_file, clip_from_open_clip

Activation = Literal["quick_gelu", "gelu"]
RANDOM = "random"


@dataclass(frozen=True, slots=True)
class BackboneIdentity:
    """Which CLIP a checkpoint was trained with; written into checkpoint and bundle.

    Attributes:
        name: open_clip's `architecture/tag`, or the name of the weights' file.
        sha256: Hash of the float32 parameters, whatever file they came from.
        activation: What stands between the two linear layers of a block.
    """

    name: str
    sha256: str
    activation: Activation


class Backbone(nn.Module):
    """A frozen CLIP as vipx uses it: pixels in, unit features out; prompt embeddings in, text out."""

    pixel_mean: Tensor
    pixel_deviation: Tensor

    def __init__(
        self, loaded: LoadedClip, options: VisionOptions, activation: Activation | None = None
    ) -> None:
        super().__init__()
        # The towers first: they refuse a CLIP whose blocks could not be searched for activations.
        self.vision = VisionTower(loaded.model.get_submodule("visual"), options)
        self.text = TextTower(loaded.model)
        if activation is not None:
            _set_activation(loaded.model, activation)
        self.identity = BackboneIdentity(loaded.name, loaded.sha256, _activation(loaded.model))
        mean, deviation = _pixel_statistics(loaded.model)
        self.register_buffer("pixel_mean", torch.tensor(mean), persistent=False)
        self.register_buffer("pixel_deviation", torch.tensor(deviation), persistent=False)

    @property
    def dim(self) -> int:
        """Width of the space that images and texts share."""
        return self.vision.visual.proj.shape[1]

    def normalise(
        self, image: UInt8[Tensor, "batch height width 3"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Turn RGB bytes into what the vision tower was trained on."""
        planes = image.permute(0, 3, 1, 2).to(self.pixel_mean.dtype)  # (batch, 3, height, width)
        mean, deviation = self.pixel_mean[:, None, None], self.pixel_deviation[:, None, None]
        return (planes / 255 - mean) / deviation

    def forward(self, image: UInt8[Tensor, "batch height width 3"]) -> VisionFeatures:
        """Encode RGB bytes at the input size."""
        return self.vision(self.normalise(image))

    def description(self) -> dict[str, Any]:
        """Give identity and shape as plain data for a manifest."""
        visual = self.vision.visual
        return asdict(self.identity) | {
            "patch_size": list(visual.patch_size),
            "vision_width": visual.conv1.weight.shape[0],
            "vision_layers": len(visual.transformer.resblocks),
            "text_width": self.text.width,
            "text_layers": len(self.text.transformer.resblocks),
            "embed_dim": self.dim,
        }


def load_clip(*, weights: Path | None, name: str | None, tag: str | None) -> LoadedClip:
    """Load a CLIP as the command line names it: a file, an open_clip name and tag, or a name and a file.

    Raises:
        UsageError: The options contradict one another.
        CheckpointError: The weights cannot be loaded.
    """
    if weights is not None:
        if tag is not None:
            raise UsageError(
                "--backbone-weights and --pretrained both name weights; give one of them"
            )
        return clip_from_file(weights, architecture=name)
    if name is None:
        raise UsageError(
            "give the backbone: --backbone-weights FILE, or --backbone NAME --pretrained TAG"
        )
    if tag is None:
        raise UsageError(
            f"--backbone {name} needs its weights: --pretrained TAG or --backbone-weights FILE "
            f"(--pretrained {RANDOM} to measure speed alone)"
        )
    return clip_from_open_clip(name, None if tag == RANDOM else tag)


def _feed_forwards(model: nn.Module) -> list[nn.Module]:
    """Give the part of every block, in both towers, that holds the activation."""
    towers = (model.get_submodule("visual"), text_part(model))
    stacks = [tower.get_submodule("transformer.resblocks") for tower in towers]
    return [block.get_submodule("mlp") for stack in stacks for block in stack.children()]


def _set_activation(model: nn.Module, activation: Activation) -> None:
    for feed_forward in _feed_forwards(model):
        feed_forward.gelu = QuickGELU() if activation == "quick_gelu" else nn.GELU()


def _activation(model: nn.Module) -> Activation:
    kinds = {type(feed_forward.gelu) for feed_forward in _feed_forwards(model)}
    if kinds == {QuickGELU}:
        return "quick_gelu"
    if kinds == {nn.GELU}:
        return "gelu"
    raise UsageError(f"activations {sorted(k.__name__ for k in kinds)} are not supported")


def _pixel_statistics(model: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Take mean and deviation from the model, where open_clip knows them; OpenAI's otherwise."""
    if not hasattr(model.visual, "preprocess_cfg"):
        return OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
    configuration = open_clip.get_model_preprocess_cfg(model)
    return tuple(configuration["mean"]), tuple(configuration["std"])
