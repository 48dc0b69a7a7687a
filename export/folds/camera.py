"""Fold: Pillow's antialiased bicubic resize into the graph, as two passes of constant banded products."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor, nn

from vipx.export.folds.fold import Fold, refuse, relative_difference
from vipx.images import MAX_PIXELS, resize_image, resizes_rows_first

_SHARPNESS = -0.5  # Pillow's `a` in Keys' cubic
_REACH = 2.0  # of that cubic, in pixels of the coarser grid
_ONE = 2**22  # Pillow's weights are integers of this unit
_COARSE = 2**7  # units of a weight's coarse part; the rest is its fine part
_SHRINK_MOST = 256  # the widest windows whose sums are exact
# Output pixels of one band: its window holds mostly weights that are not 0, and bands are few enough not to
# cost by their number. One dense product takes several times as long (benchmarks/camera_resize.py).
BAND = 32


@dataclass(frozen=True, slots=True)
class CameraResize:
    """The resize that the runtime does otherwise; heights before widths, in pixels."""

    camera: tuple[int, int]
    size: tuple[int, int]

    def __call__(self, frame: UInt8[ndarray, "_ _ 3"]) -> UInt8[ndarray, "height width 3"]:
        """Resize one frame, with Pillow."""
        return resize_image(frame, height=self.size[0], width=self.size[1])


class ResizedAxis(nn.Module):
    """One pass along the last axis: a product for each band of outputs, from the inputs that it sees.

    A weight of 22 bits times a byte is more than float32 holds, and sums next to a half would be rounded to
    the wrong side. So a weight is a coarse multiple of 2^-15 plus a fine one of 2^-22, and the two sums
    are exact each: below 1.25 * 255 * 2^15 < 2^24, and below 2^24 for windows of up to 1024 inputs.
    """

    def __init__(self, weights: Float[ndarray, "outputs inputs"], band: int = BAND) -> None:
        super().__init__()
        edges = [*range(0, len(weights), band), len(weights)]
        rows = [weights[first:last] for first, last in pairwise(edges)]
        self.windows = [_window(each) for each in rows]
        self.bands = nn.ParameterList(
            nn.Parameter(_split(each[:, low:high]), requires_grad=False)
            for each, (low, high) in zip(rows, self.windows, strict=True)
        )

    def forward(self, levels: Float[Tensor, "*rest inputs"]) -> Float[Tensor, "*rest outputs"]:
        """Resize, and round to whole grey levels, halves upwards, as Pillow does between its passes."""
        parts = []
        for (low, high), band in zip(self.windows, self.bands, strict=True):
            coarse, fine = (levels[..., low:high] @ band).chunk(2, dim=-1)
            whole = coarse.floor()
            # The fraction first: beside it there is room for the fine bits.
            parts.append(whole + (coarse - whole + fine + 0.5).floor())
        return torch.cat(parts, dim=-1).clamp(0, 255)


class FoldedCameraResize(nn.Module):
    """Both passes in one order or the other; an axis that keeps its length has none."""

    def __init__(
        self, along_rows: nn.Module, along_columns: nn.Module, *, rows_first: bool
    ) -> None:
        super().__init__()
        self.along_rows, self.along_columns, self.rows_first = along_rows, along_columns, rows_first

    def forward(
        self, frames: Float[Tensor, "batch 3 camera_height camera_width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Resize frames of grey levels in [0, 255]; the result holds whole levels."""
        if self.rows_first:
            return self._down(self.along_rows(frames))
        return self.along_rows(self._down(frames))

    def _down(self, planes: Tensor) -> Tensor:
        return self.along_columns(planes.transpose(2, 3)).transpose(2, 3)


class CameraFold(Fold[CameraResize, FoldedCameraResize]):
    """`out = level(V level(x H^T))`, `level(t) = clip(floor(t + 1/2), 0, 255)`; or the columns before the rows.

    Output pixel `i` of an axis that shrinks by `s` has its centre at `(i + 1/2) s` and sees the inputs closer
    than `2 max(s, 1)`, each weighted by Keys' cubic (a = -1/2) of its distance divided by `max(s, 1)`; the
    weights of a pixel are divided by their sum and rounded to multiples of 2^-22 (Pillow's Resample.c). All
    sums are exact (`ResizedAxis`), so the fold is Pillow bit for bit, in float64 as in float32.

    Which axis comes first matters where hard edges overshoot and are clipped: by several levels
    (`vipx.images.resizes_rows_first`).
    """

    name = "camera"

    def requires(self, source: CameraResize) -> None:
        """Frames hold pixels, and not more than vipx reads."""
        refuse(min(source.camera) < 1, f"a camera of {source.camera} px has no pixels")
        height, width = source.camera
        refuse(
            height * width > MAX_PIXELS,
            f"--camera {width}x{height}: more than the {MAX_PIXELS:,} pixels that vipx reads; crop the frames",
        )

        shrinks = (before / after for before, after in zip(source.camera, source.size, strict=True))
        refuse(
            max(shrinks) > _SHRINK_MOST,
            f"--camera {width}x{height}: more than {_SHRINK_MOST} times the model's input; bin the frames",
        )

    def call(self, source: CameraResize) -> FoldedCameraResize:
        """Compute both axes' weights, in the order of the resize."""
        columns, rows = (
            nn.Identity() if before == after else ResizedAxis(axis_weights(before, after))
            for before, after in zip(source.camera, source.size, strict=True)
        )
        rows_first = resizes_rows_first(source.camera, source.size)
        return FoldedCameraResize(rows, columns, rows_first=rows_first)

    def ensures(self, source: CameraResize, folded: FoldedCameraResize) -> float:
        """Resize random bytes both ways; the coarse checks overshoot, which is clipped."""
        generator = np.random.default_rng(0)
        frame = generator.integers(0, 256, (*source.camera, 3), dtype=np.uint8)
        frame[::2] = 255 * (frame[::2] > 127)
        planes = torch.from_numpy(frame).double().permute(2, 0, 1)[None]
        expected = torch.from_numpy(source(frame)).double().permute(2, 0, 1)[None]
        return relative_difference(expected, folded(planes))


def camera_resize(camera: tuple[int, int], size: tuple[int, int]) -> FoldedCameraResize:
    """Give the resize in float32, proved in float64.

    Raises:
        UsageError: The frames are empty or too large.
    """
    return CameraFold()(CameraResize(camera, size)).float()


def axis_weights(before: int, after: int) -> Float[ndarray, "after before"]:
    """Give Pillow's weights of one axis; every row sums to 1 up to its rounding."""
    scale = before / after
    stretch = max(scale, 1.0)
    weights = np.zeros((after, before))
    for place in range(after):
        centre = (place + 0.5) * scale
        low = max(int(centre - _REACH * stretch + 0.5), 0)
        high = min(int(centre + _REACH * stretch + 0.5), before)
        row = _cubic((np.arange(low, high) + 0.5 - centre) / stretch)
        units = row / row.sum() * _ONE
        weights[place, low:high] = np.trunc(units + np.copysign(0.5, units)) / _ONE
    return weights


def _cubic(x: Float[ndarray, "taps"]) -> Float[ndarray, "taps"]:
    """Keys' cubic convolution, 1981: near the centre, beside it, and 0 beyond two pixels."""
    x, a = np.abs(x), _SHARPNESS
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    beside = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < _REACH, beside, 0.0))


def _window(band: Float[ndarray, "outputs inputs"]) -> tuple[int, int]:
    seen = np.flatnonzero(band.any(axis=0))
    return int(seen[0]), int(seen[-1]) + 1


def _split(band: Float[ndarray, "outputs window"]) -> Float[Tensor, "window both"]:
    """Lay a band's coarse and fine weights side by side, for one product."""
    coarse = np.round(band * (_ONE / _COARSE)) * (_COARSE / _ONE)
    return torch.from_numpy(np.concatenate([coarse, band - coarse]).T.copy())
