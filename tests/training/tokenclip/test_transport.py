"""The transport's plan keeps its marginals and finds the optimum; its sparse form is continuous."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from tests.training.tokenclip.tiny_tokenclip import tiny_tokenclip_config, unit_vectors
from vipx.training.methods.tokenclip.transport import (
    assignment,
    log_sum_exp,
    sparse_rows,
    subspace_weights,
    transport_plan,
)

quick = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**16)
subspace_counts = st.integers(1, 9)


def affinities(seed: int, tokens: int, subspaces: int, dim: int = 64) -> Tensor:
    """Cosines of clustered tokens, as the patches of one image are, with texts."""
    centres, noise = unit_vectors(seed, 5, dim), unit_vectors(seed + 1, tokens, dim)
    chosen = torch.arange(tokens) % 5
    patches = torch.nn.functional.normalize(centres[chosen] + noise, dim=-1)
    return patches @ unit_vectors(seed + 2, subspaces, dim).T


def shares(seed: int, tokens: int, subspaces: int) -> Tensor:
    return (4 * affinities(seed, tokens, subspaces)).softmax(dim=-1)


@quick
@given(seed=seeds, tokens=st.integers(1, 60), subspaces=subspace_counts)
def test_rows_of_the_plan_hold_exactly_after_any_number_of_iterations(
    seed: int, tokens: int, subspaces: int
) -> None:
    plan = transport_plan(affinities(seed, tokens, subspaces), epsilon=0.05, iterations=1)
    assert (plan.sum(dim=-1) - 1 / tokens).abs().max() <= 1e-14


@pytest.mark.parametrize("epsilon", [0.05, 0.1])
def test_columns_of_the_plan_hold_after_ten_iterations(epsilon: float) -> None:
    for seed in range(2):
        plan = transport_plan(affinities(seed, 1369, 8, 768), epsilon=epsilon, iterations=10)
        # Of a column's whole share, 1/8.
        assert (8 * plan.sum(dim=-2) - 1).abs().max() <= 1e-3


@settings(quick, max_examples=8)
@given(seed=seeds, subspaces=st.integers(2, 7))
def test_with_little_entropy_the_plan_is_the_best_assignment(seed: int, subspaces: int) -> None:
    affinity = affinities(seed, subspaces, subspaces)
    plan = transport_plan(affinity, epsilon=2e-3, iterations=500)
    best = affinity.numpy()[linear_sum_assignment(affinity.numpy(), maximize=True)].mean()
    # The entropy of a plan with these marginals is worth at most epsilon log K.
    reached = float((plan * affinity).sum())
    assert best - 2e-3 * np.log(subspaces) - 1e-6 <= reached
    assert reached <= best + 1e-3


@quick
@given(seed=seeds, tokens=st.integers(2, 30), subspaces=subspace_counts, shift=st.floats(-3, 3))
def test_order_and_shift_of_affinities_do_not_matter(
    seed: int, tokens: int, subspaces: int, shift: float
) -> None:
    affinity = affinities(seed, tokens, subspaces)
    order = torch.randperm(tokens, generator=torch.Generator().manual_seed(seed))
    plan = transport_plan(affinity, epsilon=0.05, iterations=4)
    changed = transport_plan(affinity[order] + shift, epsilon=0.05, iterations=4)
    assert (changed - plan[order]).abs().max() <= 1e-12


def test_the_most_different_affinities_stay_finite_at_any_epsilon() -> None:
    affinity = torch.tensor([[1.0, -1.0, -1.0], [1.0, -1.0, 1.0], [1.0, 1.0, -1.0]])
    plan = transport_plan(affinity, epsilon=1e-3, iterations=10)
    assert bool(plan.isfinite().all())
    # Potentials of 1000 leave float32 four digits behind the point.
    assert plan.sum() == pytest.approx(1, abs=1e-3)


def test_half_precision_is_widened_before_it_meets_epsilon() -> None:
    affinity = affinities(0, 20, 4)
    for assigned in ("ot", "softmax"):
        config = tiny_tokenclip_config(epsilon=1e-3, assignment=assigned)
        rows = assignment(affinity.half(), config)
        assert rows.dtype == torch.float32
        assert (rows.sum(dim=-1) - 1).abs().max() <= 1e-3


@quick
@given(seed=seeds, size=st.sampled_from([1e-3, 1.0, 1e4]), dim=st.sampled_from([-1, -2]))
def test_log_sum_exp_is_torchs(seed: int, size: float, dim: int) -> None:
    x = size * affinities(seed, 12, 5)
    assert (
        log_sum_exp(x, dim) - x.logsumexp(dim, keepdim=True)
    ).abs().max() <= 1e-11 * size + 1e-14


def test_the_softmax_assignment_asks_each_token_alone() -> None:
    config = tiny_tokenclip_config(assignment="softmax")
    affinity = affinities(3, 20, 4)
    alone = torch.cat([assignment(affinity[i : i + 1], config) for i in range(20)])
    assert torch.equal(assignment(affinity, config), alone)


@quick
@given(seed=seeds, subspaces=st.integers(2, 9), data=st.data())
def test_where_shares_differ_enough_the_largest_k_are_kept(
    seed: int, subspaces: int, data: st.DataObject
) -> None:
    top_k = data.draw(st.integers(1, subspaces))
    rows = shares(seed, 20, subspaces)
    ranked = rows.sort(dim=-1, descending=True).values
    clear = torch.ones(20, dtype=torch.bool)
    if top_k < subspaces:
        clear = ranked[:, top_k - 1] - ranked[:, top_k] >= 1e-4
    for width in (0.0, 1e-4):
        kept = sparse_rows(rows, top_k, width)
        assert (kept.sum(dim=-1) - 1).abs().max() <= 1e-14
        assert bool(((kept > 0).sum(dim=-1) == top_k)[clear].all())
        expected = rows[clear] / ranked[clear, :top_k].sum(dim=-1, keepdim=True)
        assert (kept[clear] - expected).abs()[kept[clear] > 0].max() <= 1e-14


def test_shares_tied_at_the_edge_count_half_each() -> None:
    kept = sparse_rows(torch.tensor([[0.4, 0.25, 0.25, 0.1]]), 2, 0.01)
    torch.testing.assert_close(kept, torch.tensor([[0.4, 0.125, 0.125, 0.0]]) / 0.65)


def test_shares_that_are_all_alike_are_all_kept() -> None:
    for width in (0.0, 0.01):
        kept = sparse_rows(torch.full((1, 4), 0.25), 1, width)
        torch.testing.assert_close(kept, torch.full((1, 4), 0.25))


def test_the_plain_mask_keeps_whatever_is_tied_with_the_last() -> None:
    kept = sparse_rows(torch.tensor([[0.4, 0.25, 0.25, 0.1]]), 2, 0.0)
    torch.testing.assert_close(kept, torch.tensor([[0.4, 0.25, 0.25, 0.0]]) / 0.9)


@quick
@given(seed=seeds, subspaces=st.integers(2, 9), data=st.data())
def test_a_small_change_of_shares_changes_weights_little(
    seed: int, subspaces: int, data: st.DataObject
) -> None:
    """Also at a tie, where the plain mask jumps."""
    top_k, width, change = data.draw(st.integers(1, subspaces)), 0.01, 1e-9
    rows = shares(seed, 20, subspaces)
    if top_k < subspaces:
        order = rows.argsort(dim=-1, descending=True)
        edge = rows.gather(1, order[:, top_k - 1 : top_k])
        rows = rows.scatter(1, order[:, top_k : top_k + 1], edge)
    noise = change * (2 * torch.rand(rows.shape, generator=torch.Generator().manual_seed(seed)) - 1)
    moved = sparse_rows(rows + noise, top_k, width)
    # A factor changes by at most 2 / width of the change, and at least half of the largest share is kept.
    assert (
        moved - sparse_rows(rows, top_k, width)
    ).abs().max() <= change * 8 * subspaces**2 / width


def test_no_gradient_passes_the_assignment() -> None:
    affinity = affinities(0, 20, 4).requires_grad_()
    assert not subspace_weights(affinity, tiny_tokenclip_config()).requires_grad
