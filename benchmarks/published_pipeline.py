"""The published computation in plain PyTorch: the baseline of all speed-ups, with nothing folded.

An image file is decoded, resized by Pillow, normalised in float32 and encoded by open_clip's vision tower;
the text tower runs on all 77 positions of both prompts, the FGP projects the patches of every layer, full-
size maps of both states are made for every layer, and scipy smooths the result. PyTorch's settings are its
defaults, but for the second baseline, where `torch.set_float32_matmul_precision("medium")` is called first:
on CPUs that sends linear layers to another library, still in float32.

The published towers hold (tokens, batch, width), as OpenAI's do, and open_clip's (batch, tokens, width). In
PyTorch 2.15 the second order costs a quarter of the whole time: attention takes a path of its own with unfused
products, and the text tower multiplies a copy of its weights for every token. So the baseline takes the first.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float32, UInt8
from numpy import ndarray
from torch import Tensor, nn

from vipx.export import BackboneChoice, Overrides, load_detector
from vipx.images import read_image, resize_image
from vipx.training.methods.method import Method
from vipx.training.methods.scoring import anomaly_map, upsampled_probabilities
from vipx.training.model.backbone import Backbone
from vipx.training.model.vision import VisionFeatures

MatmulPrecision = Literal["highest", "medium"]


@dataclass(frozen=True, slots=True)
class Published:
    """A model as its authors run it."""

    backbone: Backbone
    method: Method

    def __call__(self, path: Path) -> tuple[float, Float32[ndarray, "height width"]]:
        """Take an image file to its score and anomaly map."""
        options = self.backbone.vision.options
        pixels = resize_image(read_image(path), height=options.height, width=options.width)
        scores, maps = self.answer(pixels[None])
        return float(scores[0]), maps[0]

    @torch.no_grad()
    def answer(
        self, pixels: UInt8[ndarray, "batch height width 3"]
    ) -> tuple[Float32[ndarray, "batch"], Float32[ndarray, "batch height width"]]:
        """Take RGB bytes at the input size to scores and maps, on whatever device the model is."""
        images = torch.from_numpy(pixels).to(self.backbone.pixel_mean.device)
        result = self.method(self.backbone.text, self.encode(images))
        options = self.backbone.vision.options
        size = (options.height, options.width)
        planes = upsampled_probabilities(result.alignment, self.backbone.vision.grid, size)
        return result.scores().cpu().numpy(), anomaly_map(planes, self.method.config.sigma)

    def encode(self, images: UInt8[Tensor, "batch height width 3"]) -> VisionFeatures:
        """Run the vision tower."""
        features: VisionFeatures = self.backbone(images)
        return features


def open_published(
    checkpoint: Path, weights: Path, precision: MatmulPrecision = "highest"
) -> Published:
    """Load a checkpoint and its backbone; `precision` is PyTorch's own setting, of the whole process."""
    torch.set_float32_matmul_precision(precision)
    detector = load_detector(checkpoint, BackboneChoice(weights=weights), Overrides())
    backbone, method = detector.backbone.eval(), detector.method.eval()
    put_tokens_first(backbone.vision.visual.transformer.resblocks)
    put_tokens_first(backbone.text.transformer.resblocks)
    return Published(backbone, method)


def put_tokens_first(blocks: Iterable[nn.Module]) -> None:
    """Let open_clip's blocks compute on (tokens, batch, width), as the published ones do.

    Called with the order they had, they answer in that order; between two blocks nothing is copied.
    """

    def before(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return given[0].transpose(0, 1).contiguous(), *given[1:]

    def behind(_: nn.Module, __: object, x: Tensor) -> Tensor:
        return x.transpose(0, 1)

    for block in blocks:
        attention = block.attn
        assert isinstance(attention, nn.MultiheadAttention), "the towers check their blocks"
        attention.batch_first = False
        block.register_forward_pre_hook(before)
        block.register_forward_hook(behind)
