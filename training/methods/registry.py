"""The methods that vipx knows, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor

from vipx.training.methods.method import Method, MethodName, Schedule
from vipx.training.methods.tokenclip.configuration import TokenClipConfig
from vipx.training.methods.tokenclip.method import TokenClip
from vipx.training.methods.tokenclip.objective import SCHEDULE as TOKENCLIP
from vipx.training.methods.vip2clip.configuration import SCHEDULE as VIP2CLIP
from vipx.training.methods.vip2clip.configuration import Vip2ClipConfig, preset_config
from vipx.training.methods.vip2clip.method import Vip2Clip
from vipx.training.model.backbone import Backbone


@dataclass(frozen=True, slots=True)
class MethodKind:
    """How a method is made and trained.

    Attributes:
        config: Its frozen configuration.
        untrained: Makes it with fresh parameters for a backbone.
        restored: Makes it from configuration, width of the shared space and a checkpoint's state; raises
            KeyError or RuntimeError where they do not fit.
        schedule: How it is trained if nobody says otherwise.
        presets: Configurations that a new training starts from, by name; the first is the default.
    """

    config: type[Any]
    untrained: Callable[[Any, Backbone], Method]
    restored: Callable[[Any, int, Mapping[str, Tensor]], Method]
    schedule: Schedule
    presets: Mapping[str, Any]


METHODS: Mapping[MethodName, MethodKind] = MappingProxyType(
    {
        # The published code writes the abnormal word into both prompts, by mistake (methods/vip2clip.md 1.11,
        # D1). A new training does so only if asked.
        "vip2clip": MethodKind(
            Vip2ClipConfig,
            Vip2Clip.untrained,
            Vip2Clip.restored,
            VIP2CLIP,
            {
                "official": preset_config("official", normal_word="good"),
                "paper": preset_config("paper"),
            },
        ),
        "tokenclip": MethodKind(
            TokenClipConfig,
            TokenClip.untrained,
            TokenClip.restored,
            TOKENCLIP,
            {"reconstruction": TokenClipConfig()},
        ),
    }
)
