"""The losses are the published formulas, pixel by pixel."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vipx.training.losses import dice_losses, focal_losses

shapes = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 6))


def pair(shape: tuple[int, int, int], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(shape, generator=generator, dtype=torch.float64)
    mask = torch.rand(shape, generator=generator) > 0.5
    return p, mask


@settings(deadline=None, max_examples=30)
@given(shapes, st.integers(0, 999))
def test_focal_is_the_formula(shape: tuple[int, int, int], seed: int) -> None:
    probability, mask = pair(shape, seed)
    totals = [0.0] * shape[0]
    for b, y, x in torch.ones(shape).nonzero().tolist():
        hot = [1e-5, 1 - 1e-5] if mask[b, y, x] else [1 - 1e-5, 1e-5]
        both = (1 - probability[b, y, x].item(), probability[b, y, x].item())
        p = sum(h * q for h, q in zip(hot, both, strict=True)) + 1e-5
        totals[b] += -((1 - p) ** 2) * math.log(p) / (shape[1] * shape[2])
    assert focal_losses(probability, mask).tolist() == pytest.approx(totals, rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(shapes, st.integers(0, 999))
def test_dice_is_the_formula_for_each_image(shape: tuple[int, int, int], seed: int) -> None:
    p, mask = pair(shape, seed)
    terms = [
        1 - (2 * (a * g).sum() + 1) / (a.sum() + g.sum() + 1)
        for a, g in zip(p, mask.double(), strict=True)
    ]
    assert dice_losses(p, mask).tolist() == pytest.approx([float(t) for t in terms], rel=1e-9)


def test_a_perfect_map_costs_almost_nothing() -> None:
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[0, 1:3] = True
    p = mask.double()
    assert dice_losses(p, mask).tolist() == pytest.approx([0, 0], abs=1e-12)
    assert float(focal_losses(p, mask).max()) < 1e-9
