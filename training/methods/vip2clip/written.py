"""Prompts that are plain sentences and learn nothing: CLIP's own zero-shot baseline."""

import open_clip
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vipx.errors import UsageError
from vipx.training.methods.vip2clip.configuration import Vip2ClipConfig
from vipx.training.model.text import TextTower


class WrittenPrompts(nn.Module):
    """Two sentences as token embeddings, normal first, with the position of each end token."""

    template: Tensor
    ends: Tensor

    def __init__(
        self, template: Float[Tensor, "2 positions width"], ends: Int[Tensor, "2"]
    ) -> None:
        super().__init__()
        self.register_buffer("template", template)
        self.register_buffer("ends", ends)

    @classmethod
    def of(cls, config: Vip2ClipConfig, text: TextTower) -> "WrittenPrompts":
        """Look up the words of the configuration's sentences.

        Raises:
            UsageError: A sentence is longer than the text tower's context.
        """
        tokenizer = open_clip.tokenizer.SimpleTokenizer()
        rows, ends = [], []
        for sentence in (config.normal_sentence, config.abnormal_sentence):
            ids = [tokenizer.sot_token_id, *tokenizer.encode(sentence), tokenizer.eot_token_id]
            text.check_known(ids, sentence)
            padding = text.context_length - len(ids)
            if padding < 0:
                raise UsageError(
                    f"the sentence {sentence!r} has {len(ids)} tokens; the text tower takes "
                    f"{text.context_length}"
                )
            rows.append(ids + [0] * padding)
            ends.append(len(ids) - 1)
        template = text.token_embedding.weight.detach()[torch.tensor(rows)].clone()
        return cls(template, torch.tensor(ends))

    def forward(self, text_tower: TextTower) -> Float[Tensor, "2 dim"]:
        """Encode both sentences; not normalised."""
        encoded = [
            text_tower(self.template[state : state + 1], int(self.ends[state]))
            for state in range(2)
        ]
        return torch.cat(encoded)
