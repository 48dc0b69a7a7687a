"""Fold: bilinear up-sampling and Gaussian smoothing as two small matrix products."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn

from vipx.export.folds.fold import Fold, probe, relative_difference
from vipx.training.methods.scoring import anomaly_map


@dataclass(frozen=True, slots=True)
class Upsampling:
    """From the patch grid to a smooth map at the input's size; sigma in pixels."""

    grid: tuple[int, int]
    size: tuple[int, int]
    sigma: float


class FoldedUpsampling(nn.Module):
    """`A_rows M A_columns^T` with two constant matrices."""

    def __init__(
        self, rows: Float[Tensor, "height rows"], columns: Float[Tensor, "width columns"]
    ) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows, requires_grad=False)
        self.columns = nn.Parameter(columns.T.contiguous(), requires_grad=False)

    def forward(
        self, patch_map: Float[Tensor, "batch rows columns"]
    ) -> Float[Tensor, "batch height width"]:
        """Stretch and smooth."""
        return self.rows @ (patch_map @ self.columns)


class UpsampleFold(Fold[Upsampling, FoldedUpsampling]):
    """Both steps are linear and separable, so their product is one matrix for each axis.

    `A = G U`: U is bilinear interpolation (align_corners=False), G the Gaussian with scipy's 'reflect' edge
    (d c b a | a b c d | d c b a) and radius `int(4 sigma + 0.5)`. The mean over layers, linear too, moves
    before both (methods/vip2clip.md 1.12, 4). torch's and ONNX's 'reflect' padding is another one.
    """

    name = "upsample"

    def requires(self, source: Upsampling) -> None:
        """Every grid and size qualify."""

    def call(self, source: Upsampling) -> FoldedUpsampling:
        """Push the unit vectors of each axis through both steps."""
        axes = zip(source.grid, source.size, strict=True)
        rows, columns = (_axis_matrix(cells, length, source.sigma) for cells, length in axes)
        return FoldedUpsampling(rows, columns)

    def ensures(self, source: Upsampling, folded: FoldedUpsampling) -> float:
        """Smooth a random map both ways."""
        patches = probe(1, 1, *source.grid)
        large = F.interpolate(patches, size=source.size, mode="bilinear", align_corners=False)
        # The unfolded map takes (normal, abnormal) planes of every layer.
        planes = torch.stack([1 - large, large], dim=2)  # (1, 1, 2, height, width)
        expected = torch.from_numpy(anomaly_map(planes, source.sigma))
        return relative_difference(expected, folded(patches[0]))


def _axis_matrix(cells: int, length: int, sigma: float) -> Float[Tensor, "length cells"]:
    unit = np.eye(cells)
    centres = (np.arange(length) + 0.5) * cells / length - 0.5
    # Bilinear weights with the outermost cells held constant beyond their centres.
    stretched = np.stack([np.interp(centres, np.arange(cells), row) for row in unit], axis=1)
    return torch.from_numpy(
        gaussian_filter1d(stretched, sigma=sigma, axis=0) if sigma else stretched
    )
