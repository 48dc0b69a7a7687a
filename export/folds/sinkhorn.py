"""Fold: a Sinkhorn iteration is one softmax over the rows and one sum over the columns."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vipx.export.folds.fold import Fold, probe, relative_difference
from vipx.training.methods.tokenclip.configuration import TokenClipConfig
from vipx.training.methods.tokenclip.transport import assignment, log_sum_exp


class FoldedAssignment(nn.Module):
    """Each token's shares of the subspaces, with as many iterations written out as configured."""

    def __init__(self, epsilon: float, iterations: int) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.iterations = iterations

    def forward(
        self, affinity: Float[Tensor, "*images tokens subspaces"]
    ) -> Float[Tensor, "*images tokens subspaces"]:
        """Assign; rows sum to 1."""
        kernel = affinity / self.epsilon
        if self.iterations == 0:
            return kernel.softmax(dim=-1)
        columns = -log_sum_exp(kernel, dim=-2)  # (..., 1, subspaces)
        for _ in range(self.iterations - 1):
            received = (kernel + columns).softmax(dim=-1).sum(dim=-2, keepdim=True)
            columns = columns - received.log()
        return (kernel + columns).softmax(dim=-1)


class SinkhornFold(Fold[TokenClipConfig, FoldedAssignment]):
    """The rows' potentials leave the iteration, and with them half of its operations.

    With kernel M = S / epsilon, rows f_i and columns g_k, an iteration is
    `g = log b - LSE_i(M + f)`, `f = log a - LSE_k(M + g)`. Put f into the next g:

        g' = log b - LSE_i(M + log a - LSE_k(M + g))
           = g + log b - log a - log sum_i softmax_k(M + g)_i

    and the rows of the plan, rescaled to sum 1, are `softmax_k(M + g)`. That softmax does not see a constant
    in g, so that log a and log b, equal for all rows and columns, go too. No f, no plan, and one `LSE`: over
    the tokens, in the first iteration, where f = 0.

    Behind that no column's sum comes near 0, so `log` is safe in float32 at any epsilon: the step before left
    1/K in each column of a plan whose rows sum to at most 1 each, and the softmax divides by these sums.
    """

    name = "sinkhorn"

    def requires(self, source: TokenClipConfig) -> None:
        """Every configuration qualifies; a softmax assignment is no iteration at all."""

    def call(self, source: TokenClipConfig) -> FoldedAssignment:
        """Write the iterations out."""
        iterations = source.iterations if source.assignment == "ot" else 0
        return FoldedAssignment(source.epsilon, iterations)

    def ensures(self, source: TokenClipConfig, folded: FoldedAssignment) -> float:
        """Assign random tokens both ways."""
        shares = torch.tanh(probe(2, 3, 20, source.subspaces)) / 2
        return relative_difference(assignment(shares, source), folded(shares))
