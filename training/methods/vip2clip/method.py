"""The method as published: what is learned, and how one image is scored, without any fold."""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vipx.training.methods.method import Method, MethodName
from vipx.training.methods.scoring import Forward
from vipx.training.methods.vip2clip import utpa
from vipx.training.methods.vip2clip.configuration import Vip2ClipConfig
from vipx.training.methods.vip2clip.fgp import FGP
from vipx.training.methods.vip2clip.ica import ICA, prompt_template
from vipx.training.methods.vip2clip.written import WrittenPrompts
from vipx.training.model.backbone import Backbone
from vipx.training.model.text import TextTower, encoded_behind_prefix
from vipx.training.model.vision import VisionFeatures


class Vip2Clip(Method):
    """The learned part of ViP2-CLIP: ICA and FGP, or what an ablation leaves of them."""

    name: ClassVar[MethodName] = "vip2clip"
    config: Vip2ClipConfig
    ica: ICA | WrittenPrompts
    fgp: FGP | None

    def __init__(self, config: Vip2ClipConfig, *, dim: int, prompts: ICA | WrittenPrompts) -> None:
        super().__init__()
        self.config = config
        self.dim = dim
        self.ica = prompts
        self.fgp = FGP(dim, config) if config.fgp else None

    @classmethod
    def untrained(cls, config: Vip2ClipConfig, backbone: Backbone) -> "Vip2Clip":
        """Start a new training with freshly drawn parameters."""
        prompts: ICA | WrittenPrompts
        if config.prompts == "written":
            prompts = WrittenPrompts.of(config, backbone.text)
        else:
            template = prompt_template(config, backbone.text)
            prompts = ICA(config, dim=backbone.dim, template=template)
        return cls(config, dim=backbone.dim, prompts=prompts)

    @classmethod
    def restored(cls, config: Vip2ClipConfig, dim: int, state: Mapping[str, Tensor]) -> "Vip2Clip":
        """Rebuild from a checkpoint's state.

        Raises:
            KeyError: A parameter is missing.
            RuntimeError: A parameter is unknown or has another shape.
        """
        prompts: ICA | WrittenPrompts
        if config.prompts == "written":
            prompts = WrittenPrompts(state["ica.template"], state["ica.ends"])
        else:
            prompts = ICA(config, dim=dim, template=state["ica.template"])
        method = cls(config, dim=dim, prompts=prompts)
        method.load_state_dict(state)
        return method

    @property
    def widths(self) -> tuple[int, int]:
        """Widths of the shared space and of the text tower's tokens."""
        return self.dim, self.ica.template.shape[2]

    @property
    def positions(self) -> int:
        """Positions of the prompts' template."""
        return self.ica.template.shape[1]

    @property
    def conditioned(self) -> bool:
        """Whether the ICA makes the prompts from the image."""
        return self.config.prompts == "conditioned"

    def text_embeddings(
        self, text_tower: TextTower, global_feature: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch 2 dim"]:
        """Encode each image's two prompts; unit length."""
        batch = global_feature.shape[0]
        if isinstance(self.ica, WrittenPrompts):
            return F.normalize(self.ica(text_tower), dim=-1).expand(batch, -1, -1)
        seen = global_feature if self.conditioned else global_feature[:1]
        prompts = self.ica(seen)  # (batch, 2, positions, width)
        encoded = text_tower(prompts.flatten(0, 1), self.ica.end)
        return F.normalize(encoded, dim=-1).unflatten(0, (-1, 2)).expand(batch, -1, -1)

    def forward(self, text_tower: TextTower, features: VisionFeatures) -> Forward:
        """Score a batch as the published code does: every prompt whole, every patch projected."""
        text = self.text_embeddings(text_tower, features.global_feature)
        patches = features.patch_features
        aligned = text[:, None].expand(-1, patches.shape[1], -1, -1)
        if self.fgp is not None:
            aligned = self.fgp(text, patches)  # (batch, layers, 2, dim)
        return self._scored(text, aligned, features)

    def training_forward(self, text_tower: TextTower, features: VisionFeatures) -> Forward:
        """Score a batch with the prompts' prefix encoded once, and the FGP in its regrouped form."""
        text = self._encoded(text_tower, features.global_feature)
        patches = features.patch_features
        aligned = text[:, None].expand(-1, patches.shape[1], -1, -1)
        if self.fgp is not None:
            aligned = self.fgp.regrouped(text, patches)
        return self._scored(text, aligned, features)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Give the ICA's parameters, and the FGP's, which are learned a hundred times slower."""
        found = {
            "ica": list(self.ica.parameters()),
            "fgp": [] if self.fgp is None else self.fgp.learned(),
        }
        return {name: parameters for name, parameters in found.items() if parameters}

    def _encoded(
        self, text_tower: TextTower, global_feature: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch 2 dim"]:
        if isinstance(self.ica, WrittenPrompts):
            with torch.no_grad():
                return self.text_embeddings(text_tower, global_feature)
        seen = global_feature if self.conditioned else global_feature[:1]
        end = self.ica.template[:, self.ica.end : self.ica.end + 1]
        tokens = self.ica.class_tokens(seen)[:, None].expand(-1, 2, -1, -1)
        tail = torch.cat([tokens, end.expand(seen.shape[0], -1, -1, -1)], dim=2)
        encoded = encoded_behind_prefix(text_tower, self.ica.prefix(), tail)
        return F.normalize(encoded, dim=-1).expand(global_feature.shape[0], -1, -1)

    def _scored(
        self,
        text: Float[Tensor, "batch 2 dim"],
        aligned: Float[Tensor, "batch layers 2 dim"],
        features: VisionFeatures,
    ) -> Forward:
        patches, temperature = features.patch_features, self.config.temperature
        alignment = utpa.align(aligned, patches, temperature)
        if self.config.image_score == "global":
            logits = utpa.global_logits(text, features.global_feature, temperature)
        else:
            logits = utpa.image_logits(alignment, aligned, patches, self.config)
        return Forward(logits, alignment)
