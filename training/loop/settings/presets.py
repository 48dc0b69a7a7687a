"""The published choices of each method, from which a run's settings start."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from vipx.training.methods.method import MethodName, Schedule
from vipx.training.methods.tokenclip.configuration import TokenClipConfig
from vipx.training.methods.tokenclip.objective import SCHEDULE as TOKENCLIP
from vipx.training.methods.vip2clip.configuration import preset_config
from vipx.training.methods.vip2clip.objective import SCHEDULE as VIP2CLIP


@dataclass(frozen=True, slots=True)
class Published:
    """A method's schedule, and its configurations by the presets' names; the first is the default."""

    schedule: Schedule
    configs: Mapping[str, Any]


PUBLISHED: Mapping[MethodName, Published] = MappingProxyType(
    {
        # The published code writes the abnormal word into both prompts, by mistake (methods/vip2clip.md 1.11,
        # D1). A new training does so only if asked.
        "vip2clip": Published(
            VIP2CLIP,
            {
                "official": preset_config("official", normal_word="good"),
                "paper": preset_config("paper"),
            },
        ),
        "tokenclip": Published(TOKENCLIP, {"reconstruction": TokenClipConfig()}),
    }
)


def notes(name: MethodName, config: Any) -> tuple[str, ...]:  # noqa: ANN401 - any method's own
    """Say where a configuration differs from the published code on purpose."""
    if name == "vip2clip" and config.preset == "official" and config.normal_word != "damaged":
        return (
            f"the normal prompt says {config.normal_word!r}; the published code writes 'damaged' into both "
            "prompts by mistake, as method.normal_word=damaged does",
        )
    if name == "tokenclip":
        return ("TokenCLIP-R is a reconstruction: its figures are not the paper's",)
    return ()
