"""What a method is: learned texts that meet the patches of a frozen backbone."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from vipx.training.methods.scoring import (
    Forward,
    anomaly_map,
    patch_map,
    upsampled_probabilities,
)
from vipx.training.model.backbone import Backbone
from vipx.training.model.text import TextTower
from vipx.training.model.vision import VisionFeatures

MethodName = Literal["vip2clip", "tokenclip"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a method is trained if nobody says otherwise.

    Attributes:
        rates: Learning rate of each group of parameters, by the names of `Method.groups`.
        betas: Of Adam.
        epochs: Passes over the training images.
        batch: Images of a step, on all devices together.
        seed: Of parameters and order.
        pixel_weight: Weight of the focal and Dice terms beside the images' cross-entropy.
    """

    rates: Mapping[str, float]
    betas: tuple[float, float]
    epochs: int
    batch: int
    seed: int
    pixel_weight: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """Scores and maps of a batch, with what led to them; float32, scores and maps in [0, 1]."""

    scores: Float[np.ndarray, "batch"]
    patch_maps: Float[np.ndarray, "batch rows columns"]
    anomaly_maps: Float[np.ndarray, "batch height width"]
    global_feature: Float[np.ndarray, "batch dim"]
    patch_features: Float[np.ndarray, "batch layers patches dim"]
    text_embeddings: Float[np.ndarray, "batch texts dim"]


class Method(nn.Module, ABC):
    """The learned part of a detector. The backbone stays outside, frozen.

    A subclass names itself, holds its frozen configuration, and is rebuilt from that configuration and its
    state alone, so that a checkpoint needs no backbone to be read. The configuration has at least the fields
    `preset`, `temperature` and `sigma`.
    """

    name: ClassVar[MethodName]
    config: Any

    @property
    @abstractmethod
    def widths(self) -> tuple[int, int]:
        """Widths that the backbone must have: of the shared space, and of the text tower's tokens."""

    @property
    @abstractmethod
    def positions(self) -> int:
        """Positions that the text tower must have."""

    @property
    @abstractmethod
    def conditioned(self) -> bool:
        """Whether the texts depend on the image. If not, they are constants of a bundle."""

    @abstractmethod
    def text_embeddings(
        self, text_tower: TextTower, global_feature: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch texts dim"]:
        """Encode each image's texts; unit length."""

    @abstractmethod
    def forward(self, text_tower: TextTower, features: VisionFeatures) -> Forward:
        """Score a batch from its vision features, in the published order of operations."""

    def training_forward(self, text_tower: TextTower, features: VisionFeatures) -> Forward:
        """Compute what `forward` computes, up to rounding, in the order that costs least with gradients."""
        return self(text_tower, features)

    @abstractmethod
    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Name the parameters that are learned, in groups that have a learning rate of their own."""


@torch.no_grad()
def predict(
    backbone: Backbone, method: Method, image: UInt8[Tensor, "batch height width 3"]
) -> Prediction:
    """Score RGB bytes at the input size; the reference that every graph is compared with."""
    features = backbone(image)
    result = method(backbone.text, features)
    options, grid = backbone.vision.options, backbone.vision.grid
    planes = upsampled_probabilities(result.alignment, grid, (options.height, options.width))
    texts = method.text_embeddings(backbone.text, features.global_feature)
    return Prediction(
        scores=result.scores().cpu().numpy(),
        patch_maps=patch_map(result.alignment, grid).cpu().numpy(),
        anomaly_maps=anomaly_map(planes, method.config.sigma),
        global_feature=features.global_feature.cpu().numpy(),
        patch_features=features.patch_features.cpu().numpy(),
        text_embeddings=texts.cpu().numpy(),
    )
