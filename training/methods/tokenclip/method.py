"""TokenCLIP-R: every patch is compared with a text of its own, mixed from orthogonal subspaces."""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vipx.errors import UsageError
from vipx.training.methods.method import Method, MethodName
from vipx.training.methods.scoring import (
    ABNORMAL,
    NORMAL,
    Alignment,
    Forward,
    alignment_from_cosines,
)
from vipx.training.methods.tokenclip.configuration import TokenClipConfig
from vipx.training.methods.tokenclip.objective import mean_squared_cosine
from vipx.training.methods.tokenclip.prompts import Prompts, prompts_of
from vipx.training.methods.tokenclip.texts import (
    Texts,
    affinity,
    mixed_cosines,
    regrouped_cosines,
    subspace_cosines,
)
from vipx.training.methods.tokenclip.transport import subspace_weights
from vipx.training.model.backbone import Backbone
from vipx.training.model.text import TextTower
from vipx.training.model.vision import VisionFeatures


class TokenClip(Method):
    """The learned part of TokenCLIP-R: prompts alone, the same for every image."""

    name: ClassVar[MethodName] = "tokenclip"
    config: TokenClipConfig

    def __init__(self, config: TokenClipConfig, *, dim: int, prompts: Prompts) -> None:
        super().__init__()
        self.config = config
        self.dim = dim
        self.prompts = prompts

    @classmethod
    def untrained(cls, config: TokenClipConfig, backbone: Backbone) -> "TokenClip":
        """Start a new training with freshly drawn parameters.

        Raises:
            UsageError: The prompts do not fit the backbone's text tower.
        """
        return cls(config, dim=backbone.dim, prompts=prompts_of(config, backbone.text))

    @classmethod
    def restored(
        cls, config: TokenClipConfig, dim: int, state: Mapping[str, Tensor]
    ) -> "TokenClip":
        """Rebuild from a checkpoint's state.

        Raises:
            KeyError: A parameter is missing.
            RuntimeError: A parameter is unknown or has another shape.
        """
        prompts = Prompts(config, template=state["prompts.template"], ends=state["prompts.ends"])
        method = cls(config, dim=dim, prompts=prompts)
        method.load_state_dict(state)
        return method

    @property
    def widths(self) -> tuple[int, int]:
        """Widths of the shared space and of the text tower's tokens."""
        return self.dim, self.prompts.template.shape[2]

    @property
    def positions(self) -> int:
        """Positions of the prompts' template."""
        return self.prompts.template.shape[1]

    @property
    def conditioned(self) -> bool:
        """Never: the prompts know no image."""
        return False

    def texts(self, text_tower: TextTower) -> Texts:
        """Encode all prompts once; unit length."""
        encoded = F.normalize(self.prompts(text_tower), dim=-1)  # (2, 1 + subspaces, dim)
        return Texts(pair=encoded[:, 0], bank=encoded[:, 1:])

    def text_embeddings(
        self, text_tower: TextTower, global_feature: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch texts dim"]:
        """Encode the pair, then the normal subspaces, then the abnormal ones; the same for each image."""
        texts = self.texts(text_tower)
        rows = torch.cat([texts.pair, texts.bank.flatten(0, 1)])  # (2 + 2 subspaces, dim)
        return rows.expand(global_feature.shape[0], -1, -1)

    def forward(self, text_tower: TextTower, features: VisionFeatures) -> Forward:
        """Score a batch as defined: a text for every patch (methods/tokenclip.md 2.2)."""
        texts, patches = self.texts(text_tower), features.patch_features
        shares = affinity(subspace_cosines(patches, texts.bank))
        weights = subspace_weights(shares, self.config)  # (batch, layers, patches, subspaces)
        return self._scored(texts, mixed_cosines(patches, weights, texts.bank), features)

    def training_forward(self, text_tower: TextTower, features: VisionFeatures) -> Forward:
        """Score a batch with the subspaces' cosines regrouped instead of mixing a text for every patch."""
        texts, patches = self.texts(text_tower), features.patch_features
        cosines = subspace_cosines(patches, texts.bank)  # (batch, layers, patches, 2, subspaces)
        weights = subspace_weights(affinity(cosines), self.config)
        gram = texts.bank @ texts.bank.transpose(-1, -2)  # (2, subspaces, subspaces)
        mixed = [regrouped_cosines(weights, cosines[..., s, :], gram[s]) for s in range(2)]
        return self._scored(texts, torch.stack(mixed, dim=-1), features)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Give the prompts' parameters; without deep tokens, these are not among them."""
        return {"prompts": [one for one in self.prompts.parameters() if one.numel()]}

    def _scored(
        self,
        texts: Texts,
        cosines: Float[Tensor, "batch layers patches 2"],
        features: VisionFeatures,
    ) -> Forward:
        alignment = alignment_from_cosines(cosines, self.config.temperature)
        logits = features.global_feature @ texts.pair.T / self.config.temperature
        groups = [logits]
        if self.config.image_score == "global+map":
            groups.append(map_logits(alignment, self.config.map_patches))
        apart = mean_squared_cosine(texts, self.config.orthogonal_space)
        penalty = self.config.orthogonal_weight * apart
        return Forward(torch.stack(groups, dim=1), alignment, penalty)


def map_logits(alignment: Alignment, count: int) -> Float[Tensor, "batch 2"]:
    """Give the logarithms of both states' mean probabilities over an image's `count` most anomalous patches.

    Their softmax is these probabilities again, as the two sum to 1.
    """
    mean = alignment.probabilities.mean(dim=1)  # (batch, patches, 2)
    if count > mean.shape[1]:
        raise UsageError(
            f"map patches: expected at most the image's {mean.shape[1]} patches, got {count}"
        )
    top = mean[..., ABNORMAL].topk(count, dim=-1)
    normal = mean[..., NORMAL].gather(1, top.indices)
    both = torch.stack([normal.mean(dim=1), top.values.mean(dim=1)], dim=-1)
    return both.clamp_min(torch.finfo(both.dtype).tiny).log()
