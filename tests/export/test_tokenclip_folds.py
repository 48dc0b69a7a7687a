"""The folds of TokenCLIP-R are equalities in float64, whatever the shapes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.tokenclip.tiny_tokenclip import tiny_tokenclip_config, unit_vectors
from vipx.errors import GateError
from vipx.export.folds.fold import BOUND, relative_difference
from vipx.export.folds.gram import FoldedMixture, GramFold
from vipx.export.folds.sinkhorn import FoldedAssignment, SinkhornFold
from vipx.training.methods.scoring import ABNORMAL, alignment_from_cosines
from vipx.training.methods.tokenclip.configuration import TokenClipConfig
from vipx.training.methods.tokenclip.texts import mixed_cosines
from vipx.training.methods.tokenclip.transport import assignment, sparse_rows

folding = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**16)
images = st.tuples(st.integers(1, 3), st.integers(1, 3))


@folding
@given(
    seed=seeds,
    shape=images,
    tokens=st.integers(1, 30),
    subspaces=st.integers(1, 8),
    iterations=st.integers(1, 12),
    epsilon=st.sampled_from([0.02, 0.05, 0.2]),
    assigned=st.sampled_from(["ot", "softmax"]),
)
def test_an_iteration_folds_into_one_softmax_and_one_sum(
    seed: int,
    shape: tuple[int, int],
    tokens: int,
    subspaces: int,
    iterations: int,
    epsilon: float,
    assigned: str,
) -> None:
    config = tiny_tokenclip_config(
        subspaces=subspaces,
        top_k=1,
        iterations=iterations,
        epsilon=epsilon,
        assignment=assigned,
    )
    affinity = unit_vectors(seed, *shape, tokens, 8) @ unit_vectors(seed + 1, subspaces, 8).T
    folded = SinkhornFold()(config)(affinity)
    assert relative_difference(assignment(affinity, config), folded) <= BOUND


@pytest.mark.parametrize("epsilon", [1e-3, 0.01])
def test_the_folded_iteration_is_finite_in_float32_at_any_epsilon(epsilon: float) -> None:
    """Tokens that all turn away from one subspace: its softmax underflows, its column must not."""
    affinity = torch.full((1, 50, 3), 1.0)
    affinity[..., 2] = -1
    shares = FoldedAssignment(epsilon, 10)(affinity)
    assert bool(shares.isfinite().all())
    assert (shares.sum(dim=-2) - 50 / 3).abs().max() <= 1e-2
    config = tiny_tokenclip_config(subspaces=3, epsilon=epsilon)
    assert (shares - assignment(affinity.double(), config)).abs().max() <= 1e-3


@folding
@given(
    seed=seeds,
    shape=images,
    patches=st.integers(1, 20),
    subspaces=st.integers(1, 8),
    dim=st.sampled_from([4, 16]),
    data=st.data(),
)
def test_own_texts_fold_into_inner_products(
    seed: int,
    shape: tuple[int, int],
    patches: int,
    subspaces: int,
    dim: int,
    data: st.DataObject,
) -> None:
    top_k = data.draw(st.integers(1, subspaces))
    config = tiny_tokenclip_config(subspaces=subspaces, top_k=top_k)
    batch, layers = shape
    features = unit_vectors(seed, batch, layers, patches, dim)
    # Texts of one direction, as a text tower's are: a mixture of opposite texts would have no length.
    bank = unit_vectors(seed + 1, 1, 1, dim) + unit_vectors(seed + 2, 2, subspaces, dim) / 2
    bank = torch.nn.functional.normalize(bank, dim=-1)
    rows = (3 * unit_vectors(seed + 3, batch, layers, patches, subspaces)).softmax(dim=-1)
    weights = sparse_rows(rows, top_k, config.tie_width)
    cosines = mixed_cosines(features, weights, bank)
    expected = alignment_from_cosines(cosines, config.temperature).probabilities[..., ABNORMAL]
    texts = bank.flatten(0, 1)
    folded = GramFold()(config)(weights, features @ texts.T, texts.expand(batch, -1, -1))
    assert relative_difference(expected, folded) <= BOUND


def test_a_wrong_iteration_is_refused() -> None:
    class Wrong(SinkhornFold):
        def call(self, source: TokenClipConfig) -> FoldedAssignment:
            return FoldedAssignment(source.epsilon, source.iterations + 1)

    with pytest.raises(GateError, match="sinkhorn"):
        Wrong()(tiny_tokenclip_config(iterations=1))


def test_a_wrong_temperature_is_refused() -> None:
    class Wrong(GramFold):
        def call(self, source: TokenClipConfig) -> FoldedMixture:
            return FoldedMixture(source.temperature * (1 + 1e-6))

    with pytest.raises(GateError, match="gram"):
        Wrong()(tiny_tokenclip_config())
