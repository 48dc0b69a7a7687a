"""Where the part lies in a picture, as far as that can be told from the picture's border."""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy import ndarray
from PIL import Image
from scipy.ndimage import binary_closing, binary_fill_holes, binary_opening

__all__ = ["foreground"]

_SIDE: Final = 128
_FRAME: Final = 0.04
_LEAST_CONTRAST: Final = 16
_LEAST, _MOST = 0.05, 0.9
_FRAME_MOST: Final = 0.25


def foreground(image: UInt8[ndarray, "height width 3"]) -> Bool[ndarray, "height width"]:
    """Estimate which pixels show the part; all of them where no plain ground surrounds one.

    A pixel belongs to the part if its colour is further from the frame's median than Otsu's threshold.
    The estimate is made at 128 px and has no sharp rim; it is there to keep drawn defects off the ground.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _SIDE / min(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    frame = _frame(small.shape[0], small.shape[1])
    ground = np.median(small[frame], axis=0)
    apart = np.abs(small.astype(np.float32) - ground.astype(np.float32)).max(axis=2)
    threshold = max(_otsu(apart), _LEAST_CONTRAST)
    part = binary_fill_holes(binary_closing(binary_opening(apart > threshold), iterations=2))
    if not _LEAST <= part.mean() <= _MOST or part[frame].mean() > _FRAME_MOST:
        return np.ones((height, width), np.bool_)
    grey = Image.fromarray(part.astype(np.uint8) * 255)
    return np.asarray(grey.resize((width, height), Image.Resampling.BILINEAR)) > 127


def _frame(height: int, width: int) -> Bool[ndarray, "height width"]:
    wide = max(1, round(_FRAME * min(height, width)))
    frame = np.ones((height, width), np.bool_)
    frame[wide:-wide, wide:-wide] = False
    return frame


def _otsu(values: Float32[ndarray, "height width"]) -> int:
    """The level that separates two groups of [0, 255] with the most variance between them (Otsu, 1979)."""
    counts = np.bincount(values.astype(np.intp).ravel(), minlength=256)
    below = np.cumsum(counts)
    above = below[-1] - below
    weighted = np.cumsum(counts * np.arange(256))
    mean_below = weighted / np.maximum(below, 1)
    mean_above = (weighted[-1] - weighted) / np.maximum(above, 1)
    return int(np.argmax(below * above * (mean_above - mean_below) ** 2))
