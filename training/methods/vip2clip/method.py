"""The method as published: what is learned, and how one image is scored, without any fold."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from vipx.training.methods.vip2clip import utpa
from vipx.training.methods.vip2clip.configuration import Vip2ClipConfig
from vipx.training.methods.vip2clip.fgp import FGP
from vipx.training.methods.vip2clip.ica import ABNORMAL, ICA, prompt_template
from vipx.training.model.backbone import Backbone
from vipx.training.model.text import TextTower
from vipx.training.model.vision import VisionFeatures


@dataclass(frozen=True, slots=True)
class Forward:
    """Everything that the losses need from one forward pass.

    `image_logits` are divided by the temperature; the state's order is normal, abnormal.
    """

    image_logits: Float[Tensor, "batch groups 2"]
    alignment: utpa.Alignment

    def scores(self) -> Float[Tensor, "batch"]:
        """Give each image's anomaly score in [0, 1]."""
        return self.image_logits.softmax(dim=-1)[..., ABNORMAL].mean(dim=1)


@dataclass(frozen=True, slots=True)
class Prediction:
    """Scores and maps of a batch, with what led to them; float32, scores and maps in [0, 1]."""

    scores: Float[np.ndarray, "batch"]
    patch_maps: Float[np.ndarray, "batch rows columns"]
    anomaly_maps: Float[np.ndarray, "batch height width"]
    global_feature: Float[np.ndarray, "batch dim"]
    patch_features: Float[np.ndarray, "batch layers patches dim"]
    text_embeddings: Float[np.ndarray, "batch 2 dim"]


class Vip2Clip(nn.Module):
    """The learned part of ViP2-CLIP: ICA and FGP. The backbone stays outside, frozen."""

    method: Literal["vip2clip"] = "vip2clip"

    def __init__(
        self, config: Vip2ClipConfig, *, dim: int, template: Float[Tensor, "2 positions width"]
    ) -> None:
        super().__init__()
        self.config = config
        self.ica = ICA(config, dim=dim, template=template)
        self.fgp = FGP(dim, config)

    @classmethod
    def untrained(cls, config: Vip2ClipConfig, backbone: Backbone) -> "Vip2Clip":
        """Start a new training with freshly drawn parameters."""
        template = prompt_template(config, backbone.text)
        return cls(config, dim=backbone.dim, template=template)

    def text_embeddings(
        self, text_tower: TextTower, global_feature: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch 2 dim"]:
        """Encode each image's two prompts; unit length."""
        prompts = self.ica(global_feature)  # (batch, 2, positions, width)
        encoded = text_tower(prompts.flatten(0, 1), self.ica.end)
        return F.normalize(encoded, dim=-1).unflatten(0, (-1, 2))

    def forward(self, text_tower: TextTower, features: VisionFeatures) -> Forward:
        """Score a batch from its vision features."""
        text = self.text_embeddings(text_tower, features.global_feature)
        aligned = self.fgp(text, features.patch_features)  # (batch, layers, 2, dim)
        alignment = utpa.align(aligned, features.patch_features, self.config.temperature)
        logits = utpa.image_logits(alignment, aligned, features.patch_features, self.config)
        return Forward(logits, alignment)


@torch.no_grad()
def predict(
    backbone: Backbone, method: Vip2Clip, image: UInt8[Tensor, "batch height width 3"]
) -> Prediction:
    """Score RGB bytes at the input size; the reference that every graph is compared with."""
    features = backbone(image)
    result = method(backbone.text, features)
    options = backbone.vision.options
    probabilities = utpa.upsampled_probabilities(
        result.alignment, backbone.vision.grid, (options.height, options.width)
    )
    return Prediction(
        scores=result.scores().numpy(),
        patch_maps=utpa.patch_map(result.alignment, backbone.vision.grid).numpy(),
        anomaly_maps=utpa.anomaly_map(probabilities, method.config.sigma),
        global_feature=features.global_feature.numpy(),
        patch_features=features.patch_features.numpy(),
        text_embeddings=method.text_embeddings(backbone.text, features.global_feature).numpy(),
    )
