"""A TokenCLIP-R of a few hundred weights."""

from typing import Any

import torch
from torch import Tensor

from vipx.training.methods.tokenclip.configuration import TokenClipConfig, preset_config
from vipx.training.methods.tokenclip.method import TokenClip
from vipx.training.model.backbone import Backbone


def tiny_tokenclip_config(**changes: Any) -> TokenClipConfig:
    defaults: dict[str, Any] = {"context_tokens": 4, "subspaces": 4, "deep_tokens": 2, "sigma": 2.0}
    return preset_config(2, **(defaults | changes))


def tiny_tokenclip(backbone: Backbone, seed: int = 1, **changes: Any) -> TokenClip:
    """Make one whose prompts differ far more than freshly drawn ones would."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        method = TokenClip.untrained(tiny_tokenclip_config(**changes), backbone).eval()
        with torch.no_grad():
            for parameter in method.parameters():
                parameter.add_(torch.randn_like(parameter))
    return method


def unit_vectors(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(shape, dtype=torch.float64, generator=generator)
    return drawn / drawn.norm(dim=-1, keepdim=True)
