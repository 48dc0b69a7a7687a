"""Fold: the positions of the prompts that never see the image, and those that nobody reads."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vipx.export.blocks import Affine, Block, Norm
from vipx.export.folds.fold import Fold, probe, refuse, relative_difference

# exp(-1e4) is exactly 0 in every float format, and -1e4 is finite in float16, unlike the usual -inf sums.
MASKED = -1e4


@dataclass(frozen=True, slots=True)
class PromptEncoder:
    """The text tower on two prompts, in float64, positions added and nothing left out.

    Attributes:
        blocks: The transformer.
        final: The norm behind it.
        projection: From the text tower's width to the shared space.
        template: Token embeddings plus positions of both prompts with zeros at the image's tokens; the rows
            of these hold their positions alone.
        first: Position of the first image token.
        end: Position of the end token, behind the last image token.
    """

    blocks: tuple[Block, ...]
    final: Norm
    projection: Float[Tensor, "width dim"]
    template: Float[Tensor, "2 positions width"]
    first: int
    end: int

    def __call__(
        self, tokens: Float[Tensor, "batch class_tokens width"]
    ) -> Float[Tensor, "batch 2 dim"]:
        """Encode both prompts of each image; not normalised."""
        batch = tokens.shape[0]
        x = self.template.expand(batch, -1, -1, -1).clone()  # (batch, 2, positions, width)
        x[:, :, self.first : self.end] += tokens[:, None]
        x = x.flatten(0, 1)
        length = x.shape[1]
        mask = torch.full((length, length), float("-inf"), dtype=x.dtype).triu(1)
        for block in self.blocks:
            x = block(x, mask)
        return (self.final(x[:, self.end]) @ self.projection).unflatten(0, (batch, 2))


class PrefixBlock(nn.Module):
    """A block that runs the image's tokens and the end token against cached keys and values.

    The cache is (1, 2 * heads, prefix, head): one set for each of the two prompts.
    """

    def __init__(self, block: Block, prefix: Float[Tensor, "2 prefix width"], last: bool) -> None:
        super().__init__()
        normed = block.norm_1(prefix)
        keys, values = (
            block.split(part(normed)).flatten(0, 1)[None] for part in (block.key, block.value)
        )
        self.block = block
        self.keys = nn.Parameter(keys, requires_grad=False)
        self.values = nn.Parameter(values, requires_grad=False)
        self.last = last

    def forward(
        self, x: Float[Tensor, "batch 2 tokens width"], mask: Float[Tensor, "tokens tokens"]
    ) -> Float[Tensor, "batch 2 kept width"]:
        """Run the block; the last one keeps the end token only, as nothing else is read."""
        block = self.block
        normed = block.norm_1(x)
        if self.last:
            x, mask = x[:, :, -1:], mask[-1:]
        query = self._heads(block.query(normed[:, :, -1:] if self.last else normed))
        key, value = self._heads(block.key(normed)), self._heads(block.value(normed))
        before = query @ self.keys.transpose(-1, -2)  # (batch, 2 * heads, kept, prefix)
        own = query @ key.transpose(-1, -2) + mask  # (batch, 2 * heads, kept, tokens)
        weights = torch.cat([before, own], dim=-1).softmax(dim=-1)
        split = self.keys.shape[2]
        pooled = weights[..., :split] @ self.values + weights[..., split:] @ value
        mixed = block.merge(pooled.unflatten(1, (2, -1)))  # (batch, 2, kept, width)
        return block.feed_forward(x + block.output(mixed))

    def _heads(
        self, x: Float[Tensor, "batch 2 tokens width"]
    ) -> Float[Tensor, "batch prompt_heads tokens head"]:
        return self.block.split(x).flatten(1, 2)


class FoldedPromptEncoder(nn.Module):
    """The text tower on class_tokens + 1 positions instead of all of them."""

    def __init__(self, source: PromptEncoder) -> None:
        super().__init__()
        blocks, prefix = [], source.template[:, : source.first]
        mask = torch.full((source.first, source.first), float("-inf"), dtype=prefix.dtype).triu(1)
        for number, block in enumerate(source.blocks, start=1):
            blocks.append(PrefixBlock(block, prefix, last=number == len(source.blocks)))
            prefix = block(prefix, mask)
        self.blocks = nn.ModuleList(blocks)
        self.final = source.final
        self.projection = Affine(source.projection.T, None)
        positions = source.template[:, source.first : source.end + 1]  # end token included
        self.positions = nn.Parameter(positions.clone(), requires_grad=False)
        size = positions.shape[1]
        own = torch.full((size, size), MASKED, dtype=positions.dtype).triu(1)
        self.mask = nn.Parameter(own, requires_grad=False)

    def forward(
        self, tokens: Float[Tensor, "batch class_tokens width"]
    ) -> Float[Tensor, "batch 2 dim"]:
        """Encode both prompts of each image; not normalised."""
        # A row of zeros makes room for the end token, whose embedding the positions hold.
        x = (
            F.pad(tokens[:, None], (0, 0, 0, 1)) + self.positions
        )  # (batch, 2, class tokens + 1, width)
        for block in self.blocks:
            x = block(x, self.mask)
        return self.projection(self.final(x[:, :, 0]))  # (batch, 2, dim)


class TextPrefixFold(Fold[PromptEncoder, FoldedPromptEncoder]):
    """Causal attention splits a prompt into three stretches.

    1. Positions before the first image token depend on no later position, so on no image: their keys and
       values in every layer are constants of the checkpoint.
    2. Positions behind the end token are seen by nobody whose output is read: they are dropped.
    3. Of the last layer only the end token is read: only its query, output and feed-forward are computed.

    What remains are the image tokens and the end token (methods/vip2clip.md 1.12, 1).
    """

    name = "text-prefix"

    def requires(self, source: PromptEncoder) -> None:
        """There must be a prefix, and the attention must be folded (no scale, no LayerScale)."""
        refuse(
            source.first < 1 or source.end <= source.first,
            "a prompt needs a prefix and image tokens",
        )
        unfolded = any(b.scale != 1 or b.branch_scales is not None for b in source.blocks)
        refuse(unfolded, "fold the attention of the text blocks first")

    def call(self, source: PromptEncoder) -> FoldedPromptEncoder:
        """Compute the cache."""
        return FoldedPromptEncoder(source)

    def ensures(self, source: PromptEncoder, folded: FoldedPromptEncoder) -> float:
        """Encode random image tokens both ways."""
        tokens = probe(2, source.end - source.first, source.template.shape[2])
        return relative_difference(source(tokens), folded(tokens))
