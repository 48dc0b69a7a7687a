"""The methods that vipx knows, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor

from vipx.training.methods.method import Method, MethodName
from vipx.training.methods.tokenclip.configuration import TokenClipConfig
from vipx.training.methods.tokenclip.method import TokenClip
from vipx.training.methods.vip2clip.configuration import Vip2ClipConfig
from vipx.training.methods.vip2clip.method import Vip2Clip
from vipx.training.model.backbone import Backbone


@dataclass(frozen=True, slots=True)
class MethodKind:
    """How a method is made.

    Attributes:
        config: Its frozen configuration.
        untrained: Makes it with fresh parameters for a backbone.
        restored: Makes it from configuration, width of the shared space and a checkpoint's state; raises
            KeyError or RuntimeError where they do not fit.
    """

    config: type[Any]
    untrained: Callable[[Any, Backbone], Method]
    restored: Callable[[Any, int, Mapping[str, Tensor]], Method]


METHODS: Mapping[MethodName, MethodKind] = MappingProxyType(
    {
        "vip2clip": MethodKind(Vip2ClipConfig, Vip2Clip.untrained, Vip2Clip.restored),
        "tokenclip": MethodKind(TokenClipConfig, TokenClip.untrained, TokenClip.restored),
    }
)
