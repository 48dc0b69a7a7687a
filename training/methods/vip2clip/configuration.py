"""The choices that make up a ViP2-CLIP, and the two presets."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from vipx.errors import UsageError
from vipx.training.methods.method import Schedule

Preset = Literal["official", "paper"]
Prompts = Literal["conditioned", "learned", "written"]
ImageScore = Literal["official", "paper", "global"]

SCHEDULE = Schedule(
    rates={"ica": 1e-3, "fgp": 1e-5},
    betas=(0.9, 0.999),
    epochs=10,
    batch=8,
    seed=111,
    pixel_weight=1.0,
)
"""What the published training script does (methods/vip2clip.md 1.7)."""


@dataclass(frozen=True, slots=True)
class Vip2ClipConfig:
    """What is learned and how patches are scored; numbers of the published code by default.

    Attributes:
        preset: `official` is the published code's behaviour, `paper` the text's where the two differ.
        prompts: `conditioned` on the image by the ICA, as published; `learned` without the Meta-Net, so that
            every image gets the same two; `written`, which learns nothing and reads the two sentences below.
        normal_sentence: The normal prompt where prompts are written.
        abnormal_sentence: The abnormal one. Both are CLIP's baseline in the paper's Table 4, for any object.
        fgp: Whether the texts look at the patches before they meet them.
        context_tokens: Learnable tokens before the state word, one set for each state.
        class_tokens: Tokens that the image conditions, shared by both states.
        meta_net_width: Hidden width of each of the Meta-Net's MLPs.
        normal_word: State word of the normal prompt. The published code writes `damaged` into both.
        abnormal_word: State word of the abnormal prompt.
        fgp_heads: Attention heads of the FGP.
        fgp_scale: `none` for plain dot products, `inverse_sqrt` for 1/sqrt(head width).
        image_score: `official` pools the cosines of all layers' top patches before one softmax; `paper`
            takes the cosine with each layer's mean top-k feature and averages the layers' probabilities;
            `global` compares the image's global feature with the texts (the dual branch of Table 5).
        temperature: Divisor of every cosine.
        top_k: Patches of each layer that make the image score.
        sigma: Deviation in pixels of the Gaussian that smooths the anomaly map.
    """

    preset: Preset = "official"
    prompts: Prompts = "conditioned"
    normal_sentence: str = "a photo of a normal object"
    abnormal_sentence: str = "a photo of an anomalous object"
    fgp: bool = True
    context_tokens: int = 7
    class_tokens: int = 3
    meta_net_width: int = 384
    normal_word: str = "damaged"
    abnormal_word: str = "damaged"
    fgp_heads: int = 8
    fgp_scale: Literal["none", "inverse_sqrt"] = "none"
    image_score: ImageScore = "official"
    temperature: float = 0.07
    top_k: int = 50
    sigma: float = 8.0

    def __post_init__(self) -> None:
        counts = {
            "context tokens": self.context_tokens,
            "class tokens": self.class_tokens,
            "Meta-Net width": self.meta_net_width,
            "FGP heads": self.fgp_heads,
            "top-k": self.top_k,
        }
        for name, value in counts.items():
            if value < 1:
                raise UsageError(f"{name}: expected at least 1, got {value}")
        if not self.sigma >= 0 or not self.temperature > 0:
            raise UsageError(
                f"expected sigma >= 0 and temperature > 0, got {self.sigma} and {self.temperature}"
            )


def preset_config(
    preset: Preset,
    **changes: Any,  # noqa: ANN401 - the fields of Vip2ClipConfig, by name
) -> Vip2ClipConfig:
    """Give a preset with some of its numbers changed."""
    config = Vip2ClipConfig()
    if preset == "paper":
        config = replace(
            config,
            preset="paper",
            normal_word="good",
            fgp_scale="inverse_sqrt",
            image_score="paper",
        )
    return replace(config, **changes)
