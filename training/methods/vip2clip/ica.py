"""ICA, the image-conditioned adapter: two prompts whose class tokens are made from the image."""

import open_clip
import torch
from jaxtyping import Float
from torch import Tensor, nn

from vipx.errors import UsageError
from vipx.training.methods.vip2clip.configuration import Vip2ClipConfig
from vipx.training.model.text import TextTower


class MetaNet(nn.Module):
    """One small MLP for each class token: (batch, dim) -> (batch, class_tokens, width).

    The input bias is learned and shared by the MLPs (methods/vip2clip.md 1.3).
    """

    def __init__(self, dim: int, hidden: int, width: int, tokens: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(1, dim).normal_(std=0.02))
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, width))
            for _ in range(tokens)
        )

    def forward(
        self, feature: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch class_tokens width"]:
        """Make the image's part of each class token."""
        shifted = feature + self.bias
        return torch.stack([mlp(shifted) for mlp in self.mlps], dim=1)


class ICA(nn.Module):
    """Prompts [start | context | state word | class tokens | end | padding] for the two states.

    `template` holds the token embeddings of everything that is not learned, (2, positions, width), normal
    first, with zeros where learned tokens go. Both states share the class tokens. Where the configuration says
    that prompts are `learned`, there is no Meta-Net and the class tokens are the same for every image.
    """

    template: Tensor
    meta_net: MetaNet | None

    def __init__(
        self, config: Vip2ClipConfig, *, dim: int, template: Float[Tensor, "2 positions width"]
    ) -> None:
        super().__init__()
        width = template.shape[2]
        self.config = config
        self.class_context = nn.Parameter(torch.empty(config.class_tokens, width).normal_(std=0.02))
        self.context = nn.Parameter(torch.empty(2, config.context_tokens, width).normal_(std=0.02))
        self.meta_net = None
        if config.prompts == "conditioned":
            self.meta_net = MetaNet(dim, config.meta_net_width, width, config.class_tokens)
        self.register_buffer("template", template)

    @property
    def word(self) -> int:
        """Position of the state word."""
        return 1 + self.config.context_tokens

    @property
    def end(self) -> int:
        """Position of the end token."""
        return self.word + 1 + self.config.class_tokens

    def class_tokens(
        self, global_feature: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch class_tokens width"]:
        """Condition the class tokens on the image, where there is a Meta-Net."""
        if self.meta_net is None:
            return self.class_context.expand(global_feature.shape[0], -1, -1)
        return self.class_context + self.meta_net(global_feature)

    def prefix(self) -> Float[Tensor, "2 prefix width"]:
        """Build what stands before the class tokens, which is the same for every image."""
        word = self.template[:, self.word : self.word + 1]
        return torch.cat([self.template[:, :1], self.context, word], dim=1)

    def forward(
        self, global_feature: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch 2 positions width"]:
        """Build both prompts of each image as token embeddings without positions."""
        batch = global_feature.shape[0]
        prefix = self.prefix().expand(batch, -1, -1, -1)
        tokens = self.class_tokens(global_feature)[:, None].expand(-1, 2, -1, -1)
        rest = self.template[:, self.end :].expand(batch, -1, -1, -1)
        return torch.cat([prefix, tokens, rest], dim=2)  # (batch, 2, positions, width)


def prompt_template(config: Vip2ClipConfig, text: TextTower) -> Float[Tensor, "2 positions width"]:
    """Look up the token embeddings of the prompts' fixed parts.

    Raises:
        UsageError: A state word is not one token of CLIP's vocabulary, or the prompt is too long.
    """
    rows = [
        _template_ids(word, config, text) for word in (config.normal_word, config.abnormal_word)
    ]
    template = text.token_embedding.weight.detach()[torch.tensor(rows)].clone()
    template[:, 1 : 1 + config.context_tokens] = 0
    word = 1 + config.context_tokens
    template[:, word + 1 : word + 1 + config.class_tokens] = 0
    return template


def _template_ids(word: str, config: Vip2ClipConfig, text: TextTower) -> list[int]:
    tokenizer = open_clip.tokenizer.SimpleTokenizer()
    ids = tokenizer.encode(word)
    if len(ids) != 1:
        raise UsageError(f"state word {word!r} is {len(ids)} tokens; choose a word of one token")
    text.check_known(ids, word)
    learned = [0] * config.context_tokens, [0] * config.class_tokens
    start, end = tokenizer.sot_token_id, tokenizer.eot_token_id
    sentence = [start, *learned[0], ids[0], *learned[1], end]
    padding = text.context_length - len(sentence)
    if padding < 0:
        raise UsageError(
            f"the prompt has {len(sentence)} tokens; the text tower takes {text.context_length}"
        )
    return sentence + [0] * padding
