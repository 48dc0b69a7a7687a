"""The patches that make an image's score are those of the largest margin, also where all round to 1."""

import pytest
import torch

from tests.tiny import tiny_config
from vipx.export.folds.two_class import TwoClassFold
from vipx.training.methods.scoring import ABNORMAL, NORMAL
from vipx.training.methods.vip2clip import utpa

PATCHES = 12


@pytest.mark.parametrize("rule", ["official", "paper"])
@pytest.mark.parametrize("seed", range(5))
def test_patches_whose_probabilities_round_to_one_are_ranked_by_their_margin(
    rule: str, seed: int
) -> None:
    """Published code takes any of them, so its score depends on the device; the graphs rank by the margin."""
    generator = torch.Generator().manual_seed(seed)
    config = tiny_config(top_k=3, image_score=rule)
    angles = torch.rand(PATCHES, generator=generator) * 0.4
    patches = torch.stack([angles.cos(), angles.sin()], dim=-1)[None, None]  # unit length
    text = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])[None, None]
    alignment = utpa.align(text, patches, config.temperature)
    assert (alignment.probabilities[..., ABNORMAL] == 1).all()
    score = utpa.image_logits(alignment, text, patches, config).double()
    margin = (score[..., ABNORMAL] - score[..., NORMAL]) * config.temperature
    nearest = patches[0, 0, angles.argsort()[:3]].double().mean(dim=0)
    expected = nearest[0] if rule == "official" else nearest[0] / nearest.norm()
    torch.testing.assert_close(margin.squeeze(), 2 * expected, rtol=0, atol=1e-5)
    folded, _ = TwoClassFold()(config)(text, patches)
    probabilities = score.softmax(dim=-1)[..., ABNORMAL].mean(dim=1)
    torch.testing.assert_close(probabilities, folded.double(), rtol=0, atol=1e-6)
