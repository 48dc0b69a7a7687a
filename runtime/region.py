"""The region of interest on the model's grids: what counts there, and a heat map of that alone."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32
from numpy import ndarray

from vipx.errors import UsageError
from vipx.images import resize_mask
from vipx.manifest import Manifest
from vipx.recipe import RegionRecord

_SHARE = 0.5  # of a patch that must lie inside


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the image, on the model's input.

    Attributes:
        pixels: Those that count.
        patches: Those of which at least half counts; their values alone reach the heat map inside.
        rows: From rows of patches to rows of pixels: bilinear, then the method's Gaussian.
        columns: The same for columns.
    """

    pixels: Bool[ndarray, "height width"]
    patches: Bool[ndarray, "rows columns"]
    rows: Float32[ndarray, "height rows"]
    columns: Float32[ndarray, "width columns"]

    def anomaly_map(
        self, patch_map: Float[ndarray, "rows columns"]
    ) -> Float32[ndarray, "height width"]:
        """Spread the patches inside over the pixels inside; elsewhere the map is 0.

        With A the two matrices, m the patches inside and P their values it is `A (m P) A^T / A m A^T`: an
        average over patches inside, whatever the others say.
        """
        inside = self.patches.astype(np.float32)
        values = np.where(self.patches, patch_map, np.float32(0)).astype(np.float32)
        weight = self.rows @ inside @ self.columns.T  # (height, width)
        spread = self.rows @ values @ self.columns.T
        return np.divide(spread, weight, out=np.zeros_like(spread), where=self.pixels)


def region_of(record: RegionRecord | None, manifest: Manifest) -> Region | None:
    """Lay a recipe's region over the model's input; None where it is the whole image.

    Raises:
        UsageError: It holds no patch.
    """
    if record is None:
        return None
    size = (manifest.input.height, manifest.input.width)
    pixels = _pixels(record, size)
    if pixels.all():
        return None
    grid = (manifest.input.rows, manifest.input.columns)
    patches = _patches(pixels, grid)
    rows, columns = spread_matrices(manifest)
    weight = rows @ patches.astype(np.float32) @ columns.T
    if not patches.any():
        raise UsageError("region: holds no half of any patch of the model; draw it larger")
    # Slivers that no patch inside reaches cannot be judged and do not count.
    return Region(pixels & (weight > np.float32(1e-3)), patches, rows, columns)


def spread_matrices(
    manifest: Manifest,
) -> tuple[Float32[ndarray, "height rows"], Float32[ndarray, "width columns"]]:
    """Give the A_rows and A_columns with which `A_rows P A_columns^T` is a bundle's heat map of patches P."""
    taken, sigma = manifest.input, manifest.method.sigma
    return _spread(taken.rows, taken.height, sigma), _spread(taken.columns, taken.width, sigma)


def _pixels(record: RegionRecord, size: tuple[int, int]) -> Bool[ndarray, "height width"]:
    if record.mask is not None:
        mask = record.mask.array()
        if mask.shape == size:
            return mask.astype(np.bool_)
        return resize_mask(mask.astype(np.bool_), height=size[0], width=size[1])
    inside = np.zeros(size, dtype=np.bool_)
    for polygon in record.polygons:
        inside |= _inside(np.array(polygon), size)
    return inside


def _inside(
    corners: Float[ndarray, "corners 2"], size: tuple[int, int]
) -> Bool[ndarray, "height width"]:
    """Tell for each pixel's centre whether a ray to the left crosses the outline an odd number of times."""
    y = (np.arange(size[0]) + 0.5)[:, None] / size[0]  # (height, 1)
    x = (np.arange(size[1]) + 0.5)[None] / size[1]  # (1, width)
    odd = np.zeros(size, dtype=np.bool_)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        crossed = (y0 > y) != (y1 > y)  # (height, 1)
        odd ^= crossed & (x0 + (y - y0) * (x1 - x0) / (y1 - y0) < x)
    return odd


def _patches(
    pixels: Bool[ndarray, "height width"], grid: tuple[int, int]
) -> Bool[ndarray, "rows columns"]:
    rows, columns = (
        _cells(cells, length) for cells, length in zip(grid, pixels.shape, strict=True)
    )
    return rows @ pixels.astype(np.float64) @ columns.T >= _SHARE


def _cells(cells: int, length: int) -> Float[ndarray, "cells length"]:
    """Average the pixels of each cell."""
    owner = np.arange(length) * cells // length
    member = (owner == np.arange(cells)[:, None]).astype(np.float64)  # (cells, length)
    return member / member.sum(axis=1, keepdims=True)


def _spread(cells: int, length: int, sigma: float) -> Float32[ndarray, "length cells"]:
    """Bilinear interpolation between centres, then a Gaussian mirrored at the edge, cut at 4 sigma."""
    centres = (np.arange(length) + 0.5) * cells / length - 0.5
    bilinear = np.stack([np.interp(centres, np.arange(cells), unit) for unit in np.eye(cells)], 1)
    if not sigma:
        return bilinear.astype(np.float32)
    reach = math.floor(4 * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(bilinear, ((reach, reach), (0, 0)), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps.size, axis=0)
    return (windows @ (taps / taps.sum())).astype(np.float32)  # (length, cells)
