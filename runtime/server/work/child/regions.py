"""Connected parts of a heat map, in numpy alone: rows are cut into runs, and runs that touch are joined."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from vipx.runtime.server.work.task import Region

MOST = 8


@dataclass(frozen=True, slots=True)
class Runs:
    """Neighbouring marked pixels of one row each, from the top left: columns from `start` to before `end`."""

    row: Int[ndarray, "runs"]
    start: Int[ndarray, "runs"]
    end: Int[ndarray, "runs"]
    peak: Float[ndarray, "runs"]


def regions_of(
    heat: Float[ndarray, "map_height map_width"], level: float, size: tuple[int, int]
) -> tuple[Region, ...]:
    """Find where a heat map reaches a level: the eight parts with the highest peaks.

    Pixels belong together that touch with a side or a corner.

    Args:
        heat: Finite.
        level: What a pixel must reach.
        size: Height and width of the image that the parts are given in.
    """
    marked = heat >= level
    if not marked.any():
        return ()
    runs = _runs(heat, marked)
    labels = _labels(runs, heat.shape[1])
    peaks = np.full(int(labels.max()) + 1, -np.inf)
    np.maximum.at(peaks, labels, runs.peak)
    best = np.argsort(-peaks, kind="stable")[:MOST]
    return tuple(_region(runs, labels == one, heat.shape, size) for one in best)


def _runs(heat: Float[ndarray, "height width"], marked: Bool[ndarray, "height width"]) -> Runs:
    width = marked.shape[1]
    edges = np.diff(np.pad(marked, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, start = np.nonzero(edges == 1)
    end = np.nonzero(edges == -1)[1]
    # One value behind the last pixel, as a run may end there.
    flat = np.append(heat.ravel(), heat.dtype.type(0))
    bounds = np.stack([row * width + start, row * width + end], axis=1).ravel()
    return Runs(row, start, end, np.maximum.reduceat(flat, bounds)[::2])


def _labels(runs: Runs, width: int) -> Int[ndarray, "runs"]:
    """Number the parts from 0, and say which one each run belongs to."""
    span = width + 2  # so that no key of one row is one of the next
    below = (runs.row + 1) * span
    first = np.searchsorted(runs.row * span + runs.end, below + runs.start, side="left")
    behind = np.searchsorted(runs.row * span + runs.start, below + runs.end, side="right")
    count = np.maximum(behind - first, 0)
    upper = np.repeat(np.arange(runs.row.size), count)
    place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return _joined(runs.row.size, upper, np.repeat(first, count) + place)


def _joined(
    count: int, ones: Int[ndarray, "pairs"], others: Int[ndarray, "pairs"]
) -> Int[ndarray, "{count}"]:
    """Number what pairs connect: each points at the smallest it is joined with, until nothing changes."""
    roots = np.arange(count)
    while True:
        low = np.minimum(roots[ones], roots[others])
        high = np.maximum(roots[ones], roots[others])
        if (low == high).all():
            return np.unique(roots, return_inverse=True)[1]
        np.minimum.at(roots, high, low)
        while (roots != roots[roots]).any():
            roots = roots[roots]


def _region(
    runs: Runs, chosen: Bool[ndarray, "runs"], grid: tuple[int, ...], size: tuple[int, int]
) -> Region:
    rows, starts, ends = runs.row[chosen], runs.start[chosen], runs.end[chosen]
    top, bottom = rows.min() * size[0] // grid[0], -(-(rows.max() + 1) * size[0] // grid[0])
    left, right = starts.min() * size[1] // grid[1], -(-ends.max() * size[1] // grid[1])
    share = (size[0] * size[1]) / (grid[0] * grid[1])
    return Region(
        x=int(left),
        y=int(top),
        width=int(right - left),
        height=int(bottom - top),
        area=max(1, round(int((ends - starts).sum()) * share)),
        peak=float(runs.peak[chosen].max()),
    )
