"""The learnable prompts: a token-agnostic pair, a pair for each subspace, and deep tokens that all share."""

import open_clip
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vipx.errors import UsageError
from vipx.training.methods.tokenclip.configuration import TokenClipConfig
from vipx.training.model.text import TextTower

DEVIATION = 0.02


class Prompts(nn.Module):
    """Prompts [start | context | words | end | padding], 1 + K for each state, normal first.

    `template` holds the token embeddings of everything that is not learned, with zeros where the context goes;
    `ends` the position of each state's end token. `context[0]` is the token-agnostic pair's, `context[1:]` are
    the subspaces'. `deep[l]` replaces the first context positions before text block l + 2.
    """

    template: Tensor
    ends: Tensor

    def __init__(
        self,
        config: TokenClipConfig,
        *,
        template: Float[Tensor, "2 positions width"],
        ends: Int[Tensor, "2"],
    ) -> None:
        super().__init__()
        width = template.shape[2]
        agnostic = torch.empty(1, 2, config.context_tokens, width).normal_(std=DEVIATION)
        offsets = torch.empty(config.subspaces, 2, config.context_tokens, width)
        # Every subspace starts beside the token-agnostic prompts, where both states mean something already.
        self.context = nn.Parameter(
            torch.cat([agnostic, agnostic + offsets.normal_(std=DEVIATION)])
        )
        deep = torch.empty(config.deep_layers - 1, config.deep_tokens, width)
        self.deep = nn.Parameter(deep.normal_(std=DEVIATION))
        self.register_buffer("template", template)
        self.register_buffer("ends", ends)

    def state_prompts(self, state: int) -> Float[Tensor, "prompts positions width"]:
        """Build one state's prompts up to their end token, token-agnostic first.

        What stands behind the end token cannot be seen from it: attention is causal.
        """
        context = self.context[:, state]
        fixed = self.template[state, : int(self.ends[state]) + 1].expand(len(context), -1, -1)
        return torch.cat([fixed[:, :1], context, fixed[:, 1 + context.shape[1] :]], dim=1)

    def forward(self, text_tower: TextTower) -> Float[Tensor, "2 prompts dim"]:
        """Encode all prompts of both states; not normalised."""
        deep = self.deep if len(self.deep) else None
        states = [
            text_tower(self.state_prompts(state), int(self.ends[state]), deep=deep)
            for state in range(2)
        ]
        return torch.stack(states)


def prompts_of(config: TokenClipConfig, text: TextTower) -> Prompts:
    """Look up the words' token embeddings, and draw everything learnable.

    Raises:
        UsageError: A prompt is longer than the text tower's context, a word is none of its vocabulary's, or
            more blocks are to read learnable tokens than there are.
    """
    blocks = len(text.transformer.resblocks)
    if config.deep_layers > blocks:
        raise UsageError(
            f"deep layers: expected at most the text tower's {blocks} blocks, got {config.deep_layers}"
        )
    states = config.normal_words, config.abnormal_words
    sentences = _sentences(states, config.context_tokens)
    ids = torch.zeros(2, text.context_length, dtype=torch.long)
    for state, (words, sentence) in enumerate(zip(states, sentences, strict=True)):
        _check_known(words, sentence, config.context_tokens, text)
        ids[state, : len(sentence)] = torch.tensor(sentence)
    template = text.token_embedding.weight.detach()[ids.to(text.token_embedding.weight.device)]
    template[:, 1 : 1 + config.context_tokens] = 0
    ends = torch.tensor([len(sentence) - 1 for sentence in sentences])
    return Prompts(config, template=template, ends=ends)


def _sentences(states: tuple[str, str], context_tokens: int) -> list[list[int]]:
    tokenizer = open_clip.tokenizer.SimpleTokenizer()
    context, end = [0] * context_tokens, tokenizer.eot_token_id
    return [[tokenizer.sot_token_id, *context, *tokenizer.encode(words), end] for words in states]


def _check_known(words: str, sentence: list[int], context_tokens: int, text: TextTower) -> None:
    if len(sentence) > text.context_length:
        raise UsageError(
            f"the prompt of {words!r} has {len(sentence)} tokens; "
            f"the text tower takes {text.context_length}"
        )
    spoken = sentence[1 + context_tokens : -1]
    if not spoken:
        raise UsageError("the words of a prompt: expected at least one word, got none")
    text.check_known(spoken, words)
