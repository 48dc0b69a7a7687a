"""UTPA, unified text-patch alignment: from aligned texts and patches to probabilities, map and score."""

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from torch import Tensor

from vipx.errors import UsageError
from vipx.training.methods.vip2clip.configuration import Vip2ClipConfig
from vipx.training.methods.vip2clip.ica import ABNORMAL, NORMAL


@dataclass(frozen=True, slots=True)
class Alignment:
    """Cosines and probabilities of every patch with the two states, normal first."""

    cosines: Float[Tensor, "batch layers patches 2"]
    probabilities: Float[Tensor, "batch layers patches 2"]


def align(
    text: Float[Tensor, "batch layers 2 dim"],
    patches: Float[Tensor, "batch layers patches dim"],
    temperature: float,
) -> Alignment:
    """Compare every patch with its layer's two texts."""
    cosines = patches @ text.transpose(-1, -2)  # (batch, layers, patches, 2)
    return Alignment(cosines, (cosines / temperature).softmax(dim=-1))


def image_logits(
    alignment: Alignment,
    text: Float[Tensor, "batch layers 2 dim"],
    patches: Float[Tensor, "batch layers patches dim"],
    config: Vip2ClipConfig,
) -> Float[Tensor, "batch groups 2"]:
    """Pool the most anomalous patches into logits, already divided by the temperature.

    The image's probability is the mean over groups of the softmax: one group for the published code, one for
    each layer for the paper (methods/vip2clip.md 1.5, D6).
    """
    count = alignment.cosines.shape[2]
    if config.top_k > count:
        raise UsageError(
            f"top-k {config.top_k} exceeds the {count} patches of an image; choose less"
        )
    top = alignment.probabilities[..., ABNORMAL].topk(config.top_k, dim=-1).indices
    if config.image_score == "official":
        index = top[..., None].expand(-1, -1, -1, 2)
        pooled = alignment.cosines.gather(2, index).mean(dim=(1, 2))  # (batch, 2)
        return pooled[:, None] / config.temperature
    index = top[..., None].expand(-1, -1, -1, patches.shape[-1])
    pooled = F.normalize(patches.gather(2, index).mean(dim=2), dim=-1)  # (batch, layers, dim)
    return (text @ pooled[..., None]).squeeze(-1) / config.temperature


def upsampled_probabilities(
    alignment: Alignment, grid: tuple[int, int], size: tuple[int, int]
) -> Float[Tensor, "batch layers 2 height width"]:
    """Stretch the patches' probabilities to the input's size, bilinearly and after the softmax."""
    planes = alignment.probabilities.transpose(-1, -2).unflatten(-1, grid)
    flat = planes.flatten(0, 1)  # (batch * layers, 2, rows, columns)
    large = F.interpolate(flat, size=size, mode="bilinear", align_corners=False)
    return large.unflatten(0, planes.shape[:2])


def patch_map(alignment: Alignment, grid: tuple[int, int]) -> Float[Tensor, "batch rows columns"]:
    """Average the anomaly probability over the layers, one value for each patch."""
    return alignment.probabilities[..., ABNORMAL].mean(dim=1).unflatten(-1, grid)


def anomaly_map(
    probabilities: Float[Tensor, "batch layers 2 height width"], sigma: float
) -> Float[np.ndarray, "batch height width"]:
    """Merge the two states, average the layers and smooth with scipy's Gaussian, as published."""
    merged = (probabilities[:, :, ABNORMAL] + 1 - probabilities[:, :, NORMAL]) / 2
    maps = merged.mean(dim=1).detach().cpu().numpy()  # (batch, height, width)
    return np.stack([gaussian_filter(one, sigma=sigma) for one in maps])
