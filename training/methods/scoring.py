"""From cosines to probabilities, map and score: what all methods that compare patches with two states share."""

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float
from scipy.ndimage import gaussian_filter
from torch import Tensor

NORMAL, ABNORMAL = 0, 1


@dataclass(frozen=True, slots=True)
class Alignment:
    """Cosines and probabilities of every patch with the two states, normal first."""

    cosines: Float[Tensor, "batch layers patches 2"]
    probabilities: Float[Tensor, "batch layers patches 2"]


@dataclass(frozen=True, slots=True)
class Forward:
    """Everything that the losses need from one forward pass.

    Attributes:
        image_logits: Divided by the temperature; the states' order is normal, abnormal. An image's probability
            is the mean over groups of the softmax.
        alignment: Every patch with the two states.
        penalty: What a method adds to the losses of its own accord, weighted; None for nothing.
    """

    image_logits: Float[Tensor, "batch groups 2"]
    alignment: Alignment
    penalty: Float[Tensor, ""] | None = None

    def scores(self) -> Float[Tensor, "batch"]:
        """Give each image's anomaly score in [0, 1]."""
        return self.image_logits.softmax(dim=-1)[..., ABNORMAL].mean(dim=1)


def alignment_from_cosines(
    cosines: Float[Tensor, "batch layers patches 2"], temperature: float
) -> Alignment:
    """Turn cosines into probabilities."""
    return Alignment(cosines, (cosines / temperature).softmax(dim=-1))


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
