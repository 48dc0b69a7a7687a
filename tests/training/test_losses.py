"""The losses are the published formulas, pixel by pixel."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vipx.training.losses import dice_loss, focal_loss

shapes = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 6))


def pair(shape: tuple[int, int, int], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(shape, generator=generator, dtype=torch.float64)
    mask = torch.rand(shape, generator=generator) > 0.5
    return torch.stack([1 - p, p], dim=1), mask


@settings(deadline=None, max_examples=30)
@given(shapes, st.integers(0, 999))
def test_focal_is_the_formula(shape: tuple[int, int, int], seed: int) -> None:
    probabilities, mask = pair(shape, seed)
    total = 0.0
    for b, y, x in torch.ones(shape).nonzero().tolist():
        hot = [1e-5, 1 - 1e-5] if mask[b, y, x] else [1 - 1e-5, 1e-5]
        p = sum(h * probabilities[b, c, y, x].item() for c, h in enumerate(hot)) + 1e-5
        total += -((1 - p) ** 2) * math.log(p)
    assert focal_loss(probabilities, mask).item() == pytest.approx(total / mask.numel(), rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(shapes, st.integers(0, 999))
def test_dice_is_the_formula_for_each_image(shape: tuple[int, int, int], seed: int) -> None:
    probabilities, mask = pair(shape, seed)
    p = probabilities[:, 1]
    terms = [
        1 - (2 * (a * g).sum() + 1) / (a.sum() + g.sum() + 1)
        for a, g in zip(p, mask.double(), strict=True)
    ]
    assert dice_loss(p, mask).item() == pytest.approx(float(sum(terms)) / len(terms), rel=1e-9)


def test_a_perfect_map_costs_almost_nothing() -> None:
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[0, 1:3] = True
    p = mask.double()
    assert dice_loss(p, mask).item() == pytest.approx(0, abs=1e-12)
    assert focal_loss(torch.stack([1 - p, p], dim=1), mask).item() < 1e-9
