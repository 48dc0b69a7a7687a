"""A method computes the same in the published order and in the cheap one that training takes."""

from typing import Any

import open_clip
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tiny import tiny_backbone, tiny_clip, tiny_method
from vipx.errors import UsageError
from vipx.training.methods.method import Method
from vipx.training.methods.objective import Counts, Targets, losses
from vipx.training.methods.vip2clip.method import Vip2Clip
from vipx.training.model.backbone import Backbone
from vipx.training.model.vision import VisionFeatures

COUNT = 15  # patches of tiny_backbone's grid of 3 x 5

ablations = st.fixed_dictionaries(
    {
        "prompts": st.sampled_from(["conditioned", "learned", "written"]),
        "fgp": st.booleans(),
        "image_score": st.sampled_from(["official", "paper", "global"]),
        "fgp_scale": st.sampled_from(["none", "inverse_sqrt"]),
        "context_tokens": st.integers(1, 8),
        "class_tokens": st.integers(1, 4),
    }
)
orders = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def drawn(batch: int, seed: int) -> VisionFeatures:
    generator = torch.Generator().manual_seed(seed)
    draw = (
        torch.randn(*shape, 16, generator=generator, dtype=torch.float64)
        for shape in ((batch,), (batch, 2, COUNT))
    )
    return VisionFeatures(*(F.normalize(x, dim=-1) for x in draw))


def gradients(backbone: Backbone, method: Method, batch: int, cheap: bool) -> torch.Tensor:
    features = drawn(batch, seed=3)
    forward = (method.training_forward if cheap else method)(backbone.text, features)
    learned = [one for group in method.groups().values() for one in group]
    total = forward.image_logits.square().sum() + forward.alignment.probabilities.square().sum()
    if len(learned) == 0:
        return total.detach()[None]
    found = torch.autograd.grad(total, learned, allow_unused=True, materialize_grads=True)
    flat = [gradient.flatten() for gradient in found]
    return torch.cat([total.detach()[None], *flat])


@orders
@given(changes=ablations, batch=st.integers(1, 3), seed=st.integers(0, 99))
def test_training_computes_what_the_published_order_computes(
    changes: dict[str, Any], batch: int, seed: int
) -> None:
    backbone = tiny_backbone(seed=seed).double()
    method = tiny_method(backbone.float(), seed, **changes).double()
    backbone = backbone.double()
    published = gradients(backbone, method, batch, cheap=False)
    cheap = gradients(backbone, method, batch, cheap=True)
    assert (published - cheap).abs().max() <= 1e-10 * published.abs().max().clamp(min=1)


def test_only_what_is_learned_stands_in_a_group() -> None:
    backbone = tiny_backbone()
    assert set(tiny_method(backbone).groups()) == {"ica", "fgp"}
    assert set(tiny_method(backbone, fgp=False).groups()) == {"ica"}
    assert set(tiny_method(backbone, prompts="written").groups()) == {"fgp"}
    assert tiny_method(backbone, prompts="written", fgp=False).groups() == {}


@pytest.mark.parametrize("prompts", ["learned", "written"])
def test_prompts_without_the_meta_net_are_the_same_for_every_image(prompts: str) -> None:
    backbone = tiny_backbone()
    method = tiny_method(backbone, prompts=prompts)
    texts = method.text_embeddings(backbone.text, drawn(3, 0).global_feature.float())
    assert not method.conditioned
    assert torch.equal(texts[0], texts[1])
    assert torch.equal(texts[0], texts[2])


def test_written_prompts_are_what_open_clip_encodes() -> None:
    backbone = tiny_backbone()
    method = tiny_method(backbone, prompts="written")
    texts = method.text_embeddings(backbone.text, drawn(1, 0).global_feature.float())
    ids = open_clip.tokenize([method.config.normal_sentence, method.config.abnormal_sentence])
    clip = tiny_clip()
    assert isinstance(clip, open_clip.CLIP)
    expected = clip.encode_text(ids, normalize=True)
    assert (texts[0] - expected).abs().max() <= 1e-6


@pytest.mark.parametrize(
    "changes",
    [
        {"normal_word": "flawed"},
        {"abnormal_word": "flawed"},
        {"prompts": "written", "normal_sentence": "a flawed object"},
    ],
)
def test_words_that_the_backbone_file_left_out_are_refused(changes: dict[str, Any]) -> None:
    """A small file may hold a few token rows; the others read as zeros, which are no words."""
    backbone = tiny_backbone()
    (token,) = open_clip.tokenizer.SimpleTokenizer().encode("flawed")
    backbone.text.token_embedding.weight[token] = 0
    with pytest.raises(UsageError, match="flawed"):
        tiny_method(backbone, **changes)


def batch_of(count: int) -> tuple[Backbone, Vip2Clip, VisionFeatures, Targets]:
    backbone = tiny_backbone()
    method = tiny_method(backbone)
    drawn_features = drawn(count, 5)
    features = VisionFeatures(
        drawn_features.global_feature.float(), drawn_features.patch_features.float()
    )
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(count, 24, 40, generator=generator) > 0.7
    known = torch.arange(count) % 3 != 1
    return backbone, method, features, Targets(torch.arange(count) % 2, masks, known)


def test_losses_of_parts_add_up_to_those_of_the_whole() -> None:
    backbone, method, features, targets = batch_of(5)
    assert targets.known is not None
    grid = backbone.vision.grid
    whole = losses(method(backbone.text, features), targets, grid=grid).total
    counts = Counts(5, int(targets.known.sum()))
    parts = 0.0
    for cut in (slice(0, 2), slice(2, 5)):
        part = VisionFeatures(features.global_feature[cut], features.patch_features[cut])
        aims = Targets(targets.labels[cut], targets.masks[cut], targets.known[cut])
        forward = method(backbone.text, part)
        parts += float(losses(forward, aims, grid=grid, counts=counts).total.detach())
    assert parts == pytest.approx(float(whole.detach()), rel=1e-6)


def test_an_unknown_mask_changes_no_loss_but_the_images() -> None:
    backbone, method, features, targets = batch_of(4)
    forward = method(backbone.text, features)
    grid = backbone.vision.grid
    changed = targets.masks.clone()
    changed[1] = ~changed[1]
    first = losses(forward, targets, grid=grid)
    second = losses(forward, Targets(targets.labels, changed, targets.known), grid=grid)
    assert first.total.item() == second.total.item()
    everything = Targets(targets.labels, changed, None)
    assert losses(forward, everything, grid=grid).total.item() != first.total.item()


def test_a_batch_without_masks_learns_from_labels_alone() -> None:
    backbone, method, features, targets = batch_of(2)
    nothing = Targets(targets.labels, targets.masks, torch.zeros(2, dtype=torch.bool))
    terms = losses(method(backbone.text, features), nothing, grid=backbone.vision.grid)
    assert terms.focal.item() == terms.dice_anomalous.item() == terms.dice_normal.item() == 0
    terms.total.backward()
    assert terms.total.item() == terms.cross_entropy.item() > 0
