"""UTPA, unified text-patch alignment: the most anomalous patches make the image's score."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vipx.errors import UsageError
from vipx.training.methods.scoring import ABNORMAL, NORMAL, Alignment, alignment_from_cosines
from vipx.training.methods.vip2clip.configuration import Vip2ClipConfig


def align(
    text: Float[Tensor, "batch layers 2 dim"],
    patches: Float[Tensor, "batch layers patches dim"],
    temperature: float,
) -> Alignment:
    """Compare every patch with its layer's two texts."""
    cosines = patches @ text.transpose(-1, -2)  # (batch, layers, patches, 2)
    return alignment_from_cosines(cosines, temperature)


def image_logits(
    alignment: Alignment,
    text: Float[Tensor, "batch layers 2 dim"],
    patches: Float[Tensor, "batch layers patches dim"],
    config: Vip2ClipConfig,
) -> Float[Tensor, "batch groups 2"]:
    """Pool the most anomalous patches into logits, already divided by the temperature.

    One group for the published code, one for each layer for the paper (methods/vip2clip.md 1.5, D6). The most
    anomalous are those of the largest margin between the two cosines. The published code ranks by the
    probability, which is the same order until several patches of a layer round to one float32 near 1: among
    those it takes any, and its score depends on the device.
    """
    count = alignment.cosines.shape[2]
    if config.top_k > count:
        raise UsageError(
            f"top-k {config.top_k} exceeds the {count} patches of an image; choose less"
        )
    margins = alignment.cosines[..., ABNORMAL] - alignment.cosines[..., NORMAL]
    top = margins.topk(config.top_k, dim=-1).indices
    if config.image_score == "official":
        index = top[..., None].expand(-1, -1, -1, 2)
        pooled = alignment.cosines.gather(2, index).mean(dim=(1, 2))  # (batch, 2)
        return pooled[:, None] / config.temperature
    index = top[..., None].expand(-1, -1, -1, patches.shape[-1])
    pooled = F.normalize(patches.gather(2, index).mean(dim=2), dim=-1)  # (batch, layers, dim)
    return (text @ pooled[..., None]).squeeze(-1) / config.temperature


def global_logits(
    text: Float[Tensor, "batch 2 dim"],
    global_feature: Float[Tensor, "batch dim"],
    temperature: float,
) -> Float[Tensor, "batch 1 2"]:
    """Compare the image as a whole with both texts: the dual-branch score that UTPA replaces (Table 5)."""
    return (text @ global_feature[..., None]).transpose(-1, -2) / temperature
