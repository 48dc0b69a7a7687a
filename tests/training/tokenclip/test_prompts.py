"""The prompts: where learned tokens stand, what is encoded, and what is refused."""

import pytest
import torch

from tests.tiny import tiny_backbone
from tests.training.tokenclip.tiny_tokenclip import tiny_tokenclip, tiny_tokenclip_config
from vipx.errors import UsageError
from vipx.training.methods.tokenclip.method import TokenClip
from vipx.training.methods.tokenclip.prompts import prompts_of


def test_prompts_name_no_object_and_say_what_is_damaged() -> None:
    text = tiny_backbone().text
    prompts = prompts_of(tiny_tokenclip_config(), text)
    table = text.token_embedding.weight
    # CLIP's ids of: start, "object", ".", end; "damaged".
    start, thing, stop, end, damaged = (table[i] for i in (49406, 14115, 269, 49407, 13568))
    normal, abnormal = prompts.state_prompts(0), prompts.state_prompts(1)
    assert prompts.ends.tolist() == [7, 8]
    for prompt in normal:
        torch.testing.assert_close(prompt[[0, 5, 6, 7]], torch.stack([start, thing, stop, end]))
    for prompt in abnormal:
        words = torch.stack([start, damaged, thing, stop, end])
        torch.testing.assert_close(prompt[[0, 5, 6, 7, 8]], words)
    torch.testing.assert_close(abnormal[:, 1:5], prompts.context[:, 1])


def test_subspaces_start_beside_the_token_agnostic_prompts() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = tiny_tokenclip_config(context_tokens=12, subspaces=8)
        context = prompts_of(config, tiny_backbone().text).context.detach()
    offsets = context[1:] - context[:1]
    assert offsets.std().item() == pytest.approx(0.02, rel=0.1)
    assert context[0].std().item() == pytest.approx(0.02, rel=0.2)


def test_what_stands_behind_the_end_token_is_not_seen() -> None:
    backbone = tiny_backbone()
    prompts = tiny_tokenclip(backbone).prompts
    encoded = prompts(backbone.text)
    for state, end in enumerate(prompts.ends.tolist()):
        short = prompts.state_prompts(state)
        padding = prompts.template[state, end + 1 :].expand(len(short), -1, -1)
        whole = torch.cat([short, padding], dim=1)
        expected = backbone.text(whole, end, deep=prompts.deep)
        torch.testing.assert_close(encoded[state], expected, atol=1e-6, rtol=0)


def test_deep_tokens_equal_to_what_stands_there_change_nothing() -> None:
    text = tiny_backbone(text_layers=3).text
    prompt = torch.randn(1, 9, text.width, generator=torch.Generator().manual_seed(0))
    inputs: list[torch.Tensor] = []
    hooks = [
        block.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
        for block in text.transformer.resblocks
    ]
    expected = text(prompt, 8)
    for hook in hooks:
        hook.remove()
    deep = torch.stack([x[0, 1:4] for x in inputs[1:]])
    torch.testing.assert_close(text(prompt, 8, deep=deep), expected)
    assert not torch.allclose(text(prompt, 8, deep=deep + 1), expected)


def test_deep_tokens_of_fewer_blocks_leave_the_later_ones_alone() -> None:
    text = tiny_backbone(text_layers=3).text
    prompt = torch.randn(1, 9, text.width, generator=torch.Generator().manual_seed(0))
    seen: list[torch.Tensor] = []
    text.transformer.resblocks[2].register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    for value in (0.0, 5.0):
        text(prompt, 8, deep=torch.full((1, 2, text.width), value))
    # Position 0 comes before the deep tokens: causal attention hides them from it.
    assert torch.equal(seen[0][:, 0], seen[1][:, 0])
    assert not torch.allclose(seen[0][:, 1:3], seen[1][:, 1:3])


def test_every_learned_token_gets_a_gradient() -> None:
    backbone = tiny_backbone()
    method = tiny_tokenclip(backbone)
    method.texts(backbone.text).bank.sum().backward()
    for name, parameter in method.named_parameters():
        assert parameter.grad is not None, name
    assert method.prompts.deep.grad is not None
    assert bool(method.prompts.deep.grad.abs().amax(dim=-1).all())
    context = method.prompts.context.grad
    assert context is not None
    assert bool(context[1:].abs().amax(dim=-1).all())
    assert not bool(context[0].any()), "the bank does not read the token-agnostic prompts"


def test_more_deep_layers_than_blocks_are_refused() -> None:
    backbone = tiny_backbone()
    config = tiny_tokenclip_config(deep_layers=3)
    with pytest.raises(
        UsageError, match="deep layers: expected at most the text tower's 2 blocks, got 3"
    ):
        TokenClip.untrained(config, backbone)


def test_a_text_tower_of_too_few_blocks_is_refused_when_encoding() -> None:
    method = tiny_tokenclip(tiny_backbone(text_layers=3), deep_layers=3)
    with pytest.raises(UsageError, match="3 text blocks were given; the text tower has 2"):
        method.texts(tiny_backbone().text)


def test_prompts_longer_than_the_context_are_refused() -> None:
    config = tiny_tokenclip_config(context_tokens=75)
    with pytest.raises(UsageError, match="has 79 tokens; the text tower takes 77"):
        TokenClip.untrained(config, tiny_backbone())


def test_words_that_the_backbone_does_not_hold_are_refused() -> None:
    backbone = tiny_backbone()
    backbone.text.token_embedding.weight[14115] = 0  # "object"
    with pytest.raises(UsageError, match=r"no entry for a part of 'object\.'"):
        TokenClip.untrained(tiny_tokenclip_config(), backbone)
    words = tiny_tokenclip_config(normal_words="good", abnormal_words="damaged")
    TokenClip.untrained(words, backbone)


def test_a_prompt_without_words_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one word"):
        TokenClip.untrained(tiny_tokenclip_config(normal_words=""), tiny_backbone())
