"""TokenCLIP-R does what its definition says, patch by patch, and survives its checkpoint."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.tiny import tiny_backbone
from tests.training.tokenclip.tiny_tokenclip import tiny_tokenclip, unit_vectors
from vipx.errors import UsageError
from vipx.training.methods.checkpoints import load_method, save_method
from vipx.training.methods.method import predict
from vipx.training.methods.scoring import ABNORMAL, alignment_from_cosines
from vipx.training.methods.tokenclip.configuration import TokenClipConfig
from vipx.training.methods.tokenclip.method import TokenClip, map_logits
from vipx.training.methods.tokenclip.objective import SCHEDULE, mean_squared_cosine
from vipx.training.methods.tokenclip.texts import Texts
from vipx.training.model.backbone import Backbone
from vipx.training.model.vision import VisionFeatures

IMAGES = torch.randint(
    0, 256, (3, 24, 40, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
choices = st.fixed_dictionaries(
    {
        "assignment": st.sampled_from(["ot", "softmax"]),
        "image_score": st.sampled_from(["global", "global+map"]),
        "orthogonal_space": st.sampled_from(["raw", "residual"]),
        "subspaces": st.integers(3, 6),
        "top_k": st.integers(1, 3),
        "tie_width": st.sampled_from([0.0, 0.01]),
        "map_patches": st.integers(1, 5),
    }
)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return tiny_backbone()


@pytest.fixture(scope="module")
def wide_backbone() -> Backbone:
    """In float64; an image's features come from elsewhere, so that only its text tower counts."""
    return tiny_backbone().double()


def features(seed: int, batch: int = 2) -> VisionFeatures:
    return VisionFeatures(unit_vectors(seed, batch, 16), unit_vectors(seed + 1, batch, 2, 15, 16))


@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**16), changes=choices)
def test_training_computes_what_inspection_computes(
    wide_backbone: Backbone, seed: int, changes: dict[str, Any]
) -> None:
    method = tiny_tokenclip(wide_backbone, seed, **changes).double()
    text, seen = wide_backbone.text, features(seed)
    expected, actual = method(text, seen), method.training_forward(text, seen)
    assert (expected.alignment.cosines - actual.alignment.cosines).abs().max() <= 1e-12
    assert (expected.image_logits - actual.image_logits).abs().max() <= 1e-10
    assert expected.penalty == actual.penalty


def test_every_patch_meets_the_text_that_the_definition_gives_it(wide_backbone: Backbone) -> None:
    method = tiny_tokenclip(wide_backbone, tie_width=0.0).double()
    seen = features(5)
    texts = method.texts(wide_backbone.text)
    bank, config = texts.bank.detach().numpy(), method.config
    cosines = method(wide_backbone.text, seen).alignment.cosines.detach().numpy()
    for image, layer in np.ndindex(2, 2):
        patches = seen.patch_features[image, layer].numpy()
        plan = sinkhorn_of(
            np.array([[np.mean(bank[:, k] @ p) for k in range(4)] for p in patches]), config
        )
        for number, patch in enumerate(patches):
            kept = np.argsort(plan[number])[-config.top_k :]
            weights = plan[number, kept] / plan[number, kept].sum()
            for state in range(2):
                own = sum(w * bank[state, k] for w, k in zip(weights, kept, strict=True))
                expected = patch @ own / np.linalg.norm(own)
                assert cosines[image, layer, number, state] == pytest.approx(expected, abs=1e-12)


def sinkhorn_of(affinity: np.ndarray, config: TokenClipConfig) -> np.ndarray:
    """Scale rows and columns in turn, without logarithms."""
    plan = np.exp(affinity / config.epsilon)
    for _ in range(config.iterations):
        plan /= plan.sum(axis=0) * plan.shape[1]
        plan /= plan.sum(axis=1, keepdims=True) * plan.shape[0]
    return plan


def test_swapping_the_states_swaps_their_cosines_and_moves_no_patch(
    wide_backbone: Backbone,
) -> None:
    method = tiny_tokenclip(wide_backbone, abnormal_words="object.").double()
    text, seen = wide_backbone.text, features(5)
    before = method(text, seen).alignment.cosines
    with torch.no_grad():
        method.prompts.context.copy_(method.prompts.context.flip(1))
    after = method(text, seen).alignment.cosines
    assert (after - before.flip(-1)).abs().max() <= 1e-12


def test_text_embeddings_are_the_pair_then_normal_then_abnormal_subspaces(
    backbone: Backbone,
) -> None:
    method = tiny_tokenclip(backbone)
    prompts = method.prompts
    rows = method.text_embeddings(backbone.text, torch.zeros(3, 16))
    assert rows.shape == (3, 2 + 2 * 4, 16)
    assert torch.equal(rows[0], rows[2])
    torch.testing.assert_close(rows.norm(dim=-1), torch.ones(3, 10))
    alone = []
    for state, prompt in [(0, 0), (1, 0), *((s, 1 + k) for s in range(2) for k in range(4))]:
        one = prompts.state_prompts(state)[prompt : prompt + 1]
        alone.append(backbone.text(one, int(prompts.ends[state]), deep=prompts.deep))
    expected = torch.nn.functional.normalize(torch.cat(alone), dim=-1)
    torch.testing.assert_close(rows[1], expected, atol=1e-6, rtol=0)


def test_prompts_are_encoded_once_for_a_batch(backbone: Backbone) -> None:
    method = tiny_tokenclip(backbone)
    encoded: list[int] = []
    hook = backbone.text.register_forward_pre_hook(lambda _, x: encoded.append(len(x[0])))
    method.training_forward(backbone.text, backbone(IMAGES))
    hook.remove()
    assert encoded == [1 + 4] * 2


def test_an_image_is_scored_as_it_would_be_alone(backbone: Backbone) -> None:
    method = tiny_tokenclip(backbone, image_score="global+map")
    together = predict(backbone, method, IMAGES)
    for number in range(len(IMAGES)):
        alone = predict(backbone, method, IMAGES[number : number + 1])
        assert np.abs(alone.scores - together.scores[number]).max() <= 1e-6
        assert np.abs(alone.anomaly_maps - together.anomaly_maps[number]).max() <= 1e-5


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**16), count=st.integers(1, 15))
def test_the_maps_part_of_the_score_is_the_mean_of_its_highest_patches(
    seed: int, count: int
) -> None:
    cosines = (unit_vectors(seed, 2, 3, 15, 4) @ unit_vectors(seed + 1, 2, 4).T) / 4
    alignment = alignment_from_cosines(cosines, 0.07)
    score = map_logits(alignment, count).softmax(dim=-1)[:, ABNORMAL]
    patch_map = alignment.probabilities[..., ABNORMAL].mean(dim=1)
    expected = patch_map.sort(dim=1, descending=True).values[:, :count].mean(dim=1)
    assert (score - expected).abs().max() <= 1e-12


def test_the_score_with_the_map_is_the_mean_of_both_parts(backbone: Backbone) -> None:
    whole = predict(backbone, tiny_tokenclip(backbone), IMAGES)
    both = predict(backbone, tiny_tokenclip(backbone, image_score="global+map"), IMAGES)
    highest = whole.patch_maps.reshape(3, -1).max(axis=1)
    assert np.abs(both.scores - (whole.scores + highest) / 2).max() <= 1e-6


def test_probabilities_that_underflow_give_a_finite_loss() -> None:
    cosines = torch.tensor([[[[1.0, -1.0], [1.0, -1.0]]]])
    logits = map_logits(alignment_from_cosines(cosines, 1e-3), 1)
    assert bool(logits.isfinite().all())
    assert logits.softmax(dim=-1)[0, ABNORMAL] <= 1e-30


def test_more_map_patches_than_there_are_is_refused(backbone: Backbone) -> None:
    method = tiny_tokenclip(backbone, image_score="global+map", map_patches=16)
    with pytest.raises(UsageError, match="at most the image's 15 patches, got 16"):
        method(backbone.text, backbone(IMAGES))


def test_orthogonal_subspaces_cost_nothing_and_equal_ones_everything() -> None:
    pair = torch.nn.functional.normalize(torch.ones(2, 8), dim=-1)
    apart = Texts(pair, torch.eye(8).reshape(2, 4, 8))
    assert mean_squared_cosine(apart).item() == 0
    alike = Texts(pair, pair[:, None].expand(2, 4, 8))
    assert mean_squared_cosine(alike).item() == pytest.approx(1)
    one = Texts(pair, pair[:, None])
    assert mean_squared_cosine(one).item() == 0


def test_residuals_are_compared_without_what_all_texts_share() -> None:
    pair = torch.zeros(2, 8)
    pair[:, 0] = 1
    bank = torch.nn.functional.normalize(pair[:, None] + 0.1 * torch.eye(8)[1:5], dim=-1)
    texts = Texts(pair, bank)
    assert mean_squared_cosine(texts).item() > 0.9
    assert mean_squared_cosine(texts, "residual").item() <= 0.01


def test_the_states_are_kept_apart_from_one_another_by_the_loss_alone() -> None:
    bank = torch.eye(4, 8)[None].expand(2, 4, 8)  # the same for both states
    assert mean_squared_cosine(Texts(torch.eye(2, 8), bank)).item() == 0


def test_the_penalty_is_weighted(backbone: Backbone) -> None:
    penalties = []
    for weight in (0.1, 0.2):
        method = tiny_tokenclip(backbone, orthogonal_weight=weight)
        penalty = method(backbone.text, backbone(IMAGES)).penalty
        assert penalty is not None
        penalties.append(penalty.item())
    assert penalties[1] == pytest.approx(2 * penalties[0])


@pytest.mark.parametrize("deep_layers", [1, 2])
def test_a_checkpoint_brings_the_method_back(
    backbone: Backbone, tmp_path: Path, deep_layers: int
) -> None:
    method = tiny_tokenclip(backbone, deep_layers=deep_layers)
    save_method(tmp_path / "x.ckpt", method, backbone, training={})
    loaded = load_method(tmp_path / "x.ckpt").method
    assert isinstance(loaded, TokenClip)
    assert loaded.config == method.config
    expected, actual = (predict(backbone, one, IMAGES) for one in (method, loaded))
    assert np.array_equal(expected.scores, actual.scores)
    assert np.array_equal(expected.anomaly_maps, actual.anomaly_maps)


def test_a_method_says_what_its_backbone_must_be() -> None:
    method = tiny_tokenclip(tiny_backbone())
    assert (method.widths, method.positions, method.conditioned) == ((16, 16), 77, False)


def test_deep_tokens_that_are_not_there_are_not_learned() -> None:
    method = tiny_tokenclip(tiny_backbone(), deep_layers=1)
    assert method.groups() == {"prompts": [method.prompts.context]}


def test_mixed_precision_trains_nearly_the_same(backbone: Backbone) -> None:
    method = tiny_tokenclip(backbone, image_score="global+map")
    seen = backbone(IMAGES)
    expected = method.training_forward(backbone.text, seen)
    with torch.autocast("cpu", torch.bfloat16):
        actual = method.training_forward(backbone.text, seen)
    assert (actual.scores() - expected.scores()).abs().max() <= 0.05
    assert (actual.alignment.probabilities - expected.alignment.probabilities).abs().max() <= 0.1
    actual.image_logits.float().logsumexp(dim=-1).sum().backward()
    gradient = method.prompts.context.grad
    assert gradient is not None
    assert bool(gradient.isfinite().all())


def test_the_schedule_names_all_that_is_learned() -> None:
    method = tiny_tokenclip(tiny_backbone())
    groups = method.groups()
    assert set(groups) == set(SCHEDULE.rates)
    named: set[Tensor] = {one for group in groups.values() for one in group}
    assert named == set(method.parameters())
