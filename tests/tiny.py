"""A seeded CLIP of a few thousand weights, and what hangs on it."""

from typing import Any

import numpy as np
import open_clip
import torch
from numpy import ndarray
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from torch import nn

from vipx.export import Detector
from vipx.manifest import CheckpointRecord
from vipx.training.methods.vip2clip.configuration import Vip2ClipConfig
from vipx.training.methods.vip2clip.ica import ICA
from vipx.training.methods.vip2clip.method import Vip2Clip
from vipx.training.model.backbone import Backbone
from vipx.training.model.vision import VisionOptions
from vipx.training.model.weights import LoadedClip

NO_HASH = "0" * 64


def tiny_clip(
    *,
    width: int = 32,
    heads: int = 2,
    layers: int = 2,
    text_width: int = 16,
    text_layers: int = 2,
    dim: int = 16,
    patch: int = 8,
    side: int = 16,
    quick_gelu: bool = True,
    layer_scale: float | None = None,
    seed: int = 0,
) -> nn.Module:
    """Make an open_clip CLIP whose every weight, also those that start as 0 or 1, is random."""
    vision = CLIPVisionCfg(
        layers=layers,
        width=width,
        head_width=width // heads,
        patch_size=patch,
        image_size=side,
        ls_init_value=layer_scale,
    )
    text = CLIPTextCfg(width=text_width, heads=2, layers=text_layers)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = open_clip.CLIP(dim, vision_cfg=vision, text_cfg=text, quick_gelu=quick_gelu)
        for name, value in model.named_parameters():
            if "ln_" in name or name.endswith("bias"):
                value.data.add_(0.2 * torch.randn_like(value))
    return model.eval().requires_grad_(False)


def tiny_backbone(options: VisionOptions | None = None, **shape: Any) -> Backbone:
    loaded = LoadedClip(tiny_clip(**shape), "tiny", NO_HASH)
    return Backbone(loaded, options or VisionOptions(height=24, width=40, feature_layers=(1, 2)))


def tiny_config(**changes: Any) -> Vip2ClipConfig:
    defaults: dict[str, Any] = {"fgp_heads": 4, "meta_net_width": 8, "top_k": 5, "sigma": 2.0}
    return Vip2ClipConfig(**(defaults | changes))


def tiny_method(backbone: Backbone, seed: int = 1, **changes: Any) -> Vip2Clip:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Vip2Clip.untrained(tiny_config(**changes), backbone).eval()


def ica_of(method: Vip2Clip) -> ICA:
    assert isinstance(method.ica, ICA)
    return method.ica


def tiny_ica(backbone: Backbone, seed: int = 1, **changes: Any) -> ICA:
    """In float64, for folds."""
    return ica_of(tiny_method(backbone, seed, **changes)).double()


def tiny_detector(**changes: Any) -> Detector:
    """A detector on a non-square grid of 3 x 5 patches."""
    backbone = tiny_backbone()
    return Detector(
        backbone, tiny_method(backbone, **changes), CheckpointRecord(sha256=NO_HASH, format="vipx")
    )


def noise_images(count: int, height: int = 24, width: int = 40, seed: int = 0) -> list[ndarray]:
    generator = np.random.default_rng(seed)
    return list(generator.integers(0, 256, (count, height, width, 3), dtype=np.uint8))
