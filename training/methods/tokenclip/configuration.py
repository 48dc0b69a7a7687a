"""The choices that make up a TokenCLIP-R, each where the paper's abstract leaves one open."""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from vipx.errors import UsageError

Preset = Literal["reconstruction"]
Assignment = Literal["ot", "softmax"]
ImageScore = Literal["global", "global+map"]
OrthogonalSpace = Literal["raw", "residual"]
DEEP_LAYERS = 9


@dataclass(frozen=True, slots=True)
class TokenClipConfig:
    """What is learned and how patches are scored (methods/tokenclip.md 2.2).

    The paper's numbers are not public: all of these are this reconstruction's own, or AnomalyCLIP's.

    Attributes:
        preset: Says in every checkpoint and bundle that this is the reconstruction.
        normal_words: What the normal prompt says behind its context; it names no object.
        abnormal_words: What the abnormal prompt says.
        context_tokens: Learnable tokens before the words, one set for each prompt.
        subspaces: Learnable subspaces beside the token-agnostic pair, each a pair of prompts of its own.
        deep_layers: Text blocks that read learnable tokens; the first reads the context, each later one gets
            `deep_tokens` of its own, which all prompts share. At most the text tower's blocks; 1 learns the
            context alone.
        deep_tokens: Positions from 1 on that each of these blocks gets anew.
        assignment: `ot` spreads an image's patches over all subspaces by optimal transport; `softmax` lets
            every patch choose for itself.
        epsilon: Entropic regularisation of the transport, and the softmax's temperature.
        iterations: Sinkhorn iterations, of columns and then rows, when training and when inspecting.
        top_k: Subspaces that a patch keeps.
        tie_width: Shares of a patch (they sum to 1) that differ by less than this at the edge of the top-k fade
            into one another. 0 cuts: then rounding decides ties, and PyTorch and an engine may differ there.
        orthogonal_weight: Weight of the subspaces' mean squared cosine in the objective.
        orthogonal_space: `raw` compares the subspaces' texts, `residual` what they add to the token-agnostic
            text.
        image_score: `global` compares the global feature with the token-agnostic pair; `global+map` takes the
            mean of that and of the highest patches.
        map_patches: Patches of the map whose mean stands for it in `global+map`.
        temperature: Divisor of every cosine.
        sigma: Deviation in pixels of the Gaussian that smooths the anomaly map.
    """

    preset: Preset = "reconstruction"
    normal_words: str = "object."
    abnormal_words: str = "damaged object."
    context_tokens: int = 12
    subspaces: int = 8
    deep_layers: int = DEEP_LAYERS
    deep_tokens: int = 4
    assignment: Assignment = "ot"
    epsilon: float = 0.05
    iterations: int = 20
    top_k: int = 2
    tie_width: float = 0.01
    orthogonal_weight: float = 0.1
    orthogonal_space: OrthogonalSpace = "raw"
    image_score: ImageScore = "global"
    map_patches: int = 1
    temperature: float = 0.07
    sigma: float = 4.0

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_counts()
        for name, value in (("epsilon", self.epsilon), ("temperature", self.temperature)):
            if not value > 0:
                raise UsageError(f"{name}: expected more than 0, got {value}")
        counted = {
            "tie width": self.tie_width,
            "orthogonal weight": self.orthogonal_weight,
            "sigma": self.sigma,
        }
        for name, value in counted.items():
            if not value >= 0:
                raise UsageError(f"{name}: expected at least 0, got {value}")

    def _check_choices(self) -> None:
        choices = {
            "preset": (self.preset, Preset),
            "assignment": (self.assignment, Assignment),
            "image score": (self.image_score, ImageScore),
            "orthogonal space": (self.orthogonal_space, OrthogonalSpace),
        }
        for name, (value, kind) in choices.items():
            if value not in get_args(kind):
                known = " or ".join(get_args(kind))
                raise UsageError(f"{name}: expected {known}, got {value!r}")

    def _check_counts(self) -> None:
        counts = {
            "context tokens": self.context_tokens,
            "subspaces": self.subspaces,
            "deep layers": self.deep_layers,
            "deep tokens": self.deep_tokens,
            "iterations": self.iterations,
            "top-k": self.top_k,
            "map patches": self.map_patches,
        }
        for name, value in counts.items():
            if value < 1:
                raise UsageError(f"{name}: expected at least 1, got {value}")
        if self.top_k > self.subspaces:
            raise UsageError(
                f"top-k: expected at most the {self.subspaces} subspaces, got {self.top_k}"
            )
        if self.deep_tokens > self.context_tokens:
            raise UsageError(
                f"deep tokens: expected at most the {self.context_tokens} context tokens, "
                f"got {self.deep_tokens}"
            )


def preset_config(
    text_layers: int,
    **changes: Any,  # noqa: ANN401 - the fields of TokenClipConfig, by name
) -> TokenClipConfig:
    """Give the preset for a text tower of so many blocks, with some of its choices changed."""
    fitted = TokenClipConfig(deep_layers=min(DEEP_LAYERS, text_layers))
    return replace(fitted, **changes)
