"""The published computation in plain PyTorch: the baseline of all speed-ups, with nothing folded.

An image file is decoded, resized by Pillow, normalised in float32 and encoded by open_clip's vision tower;
the text tower runs on all 77 positions of both prompts, the FGP projects the patches of every layer, full-
size maps of both states are made for every layer, and scipy smooths the result. PyTorch's settings are its
defaults, but for the second baseline, where `torch.set_float32_matmul_precision("medium")` is called first:
on CPUs that sends linear layers to another library, still in float32.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float32
from numpy import ndarray

from vipx.export import BackboneChoice, Overrides, load_detector
from vipx.images import read_image, resize_image
from vipx.training.methods.method import Method
from vipx.training.methods.scoring import anomaly_map, upsampled_probabilities
from vipx.training.model.backbone import Backbone

MatmulPrecision = Literal["highest", "medium"]


@dataclass(frozen=True, slots=True)
class Published:
    """A model as its authors run it."""

    backbone: Backbone
    method: Method

    @torch.no_grad()
    def __call__(self, path: Path) -> tuple[float, Float32[ndarray, "height width"]]:
        """Take an image file to its score and anomaly map."""
        options = self.backbone.vision.options
        pixels = resize_image(read_image(path), height=options.height, width=options.width)
        features = self.backbone(torch.from_numpy(pixels[None]))
        result = self.method(self.backbone.text, features)
        score = float(result.scores())
        size = (options.height, options.width)
        planes = upsampled_probabilities(result.alignment, self.backbone.vision.grid, size)
        return score, anomaly_map(planes, self.method.config.sigma)[0]


def open_published(
    checkpoint: Path, weights: Path, precision: MatmulPrecision = "highest"
) -> Published:
    """Load a checkpoint and its backbone; `precision` is PyTorch's own setting, of the whole process."""
    torch.set_float32_matmul_precision(precision)
    detector = load_detector(checkpoint, BackboneChoice(weights=weights), Overrides())
    return Published(detector.backbone.eval(), detector.method.eval())
