"""Draws one defect on a good picture, and tells exactly which pixels it changed."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray
from numpy.random import Generator
from scipy.ndimage import binary_closing, label

from vipx.errors import UsageError
from vipx.training.data.synthesis.canvas import Canvas, Picture, canvas_of, placed
from vipx.training.data.synthesis.foreground import foreground
from vipx.training.data.synthesis.kinds import (
    distortion,
    pasted,
    scratch,
    seamless,
    spots,
    stain,
    texture,
)

__all__ = ["KINDS", "LEAST_SIDE", "VISIBLE", "synthesized"]

VISIBLE: Final = 12
"""A change of so many grey levels in one channel counts as visible."""

LEAST_SIDE: Final = 16
"""Smaller pictures, in px a side, are refused."""

_TRIES = 8
_LEAST_SHARE, _MOST_SHARE = 0.0005, 0.25
_LEAST_PIXELS = 4
_PIECE_PIXELS = 3

_DRAWN: Mapping[str, Callable[[Generator, Canvas], Picture]] = MappingProxyType(
    {
        "distortion": distortion,
        "pasted": pasted,
        "scratch": scratch,
        "seamless": seamless,
        "spots": spots,
        "stain": stain,
        "texture": texture,
    }
)

KINDS: Final = tuple(_DRAWN)
"""The kinds of defects, sorted."""


def synthesized(
    image: UInt8[ndarray, "height width 3"],
    rng: Generator,
    *,
    kinds: Sequence[str] = KINDS,
    on_object: bool = True,
) -> tuple[UInt8[ndarray, "height width 3"], Bool[ndarray, "height width"]]:
    """Draw one defect of a random kind; gives the new picture and its mask.

    Outside the mask the picture keeps its bits; a grey picture stays grey. The mask holds what changed
    visibly, closed over gaps of a pixel or two; it is never empty and covers at most a quarter. Where a kind
    does not show, as a piece of a plain surface pasted on it, another is tried, and a plain spot comes last.

    Args:
        image: a good picture, 16 px a side or more; it is not changed.
        rng: gives all randomness, and moves on.
        kinds: those to choose from.
        on_object: keep to the part where one lies on a plain ground.

    Raises:
        UsageError: the picture is too small, or a kind unknown.
    """
    _check(image, kinds)
    allowed = foreground(image) if on_object else np.ones(image.shape[:2], np.bool_)
    canvas = canvas_of(image, allowed)
    grey = bool((image == image[..., :1]).all())
    for _ in range(_TRIES):
        draw = _DRAWN[kinds[int(rng.integers(len(kinds)))]]
        drawn = _bits(draw(rng, canvas), grey=grey)
        mask = _changed(image, drawn, allowed)
        if max(_LEAST_PIXELS, _LEAST_SHARE * mask.size) <= mask.sum() <= _MOST_SHARE * mask.size:
            return np.where(mask[..., None], drawn, image), mask
    return _spotted(image, rng, canvas)


def _check(image: UInt8[ndarray, "height width 3"], kinds: Sequence[str]) -> None:
    unknown = [kind for kind in kinds if kind not in _DRAWN]
    if unknown or not kinds:
        named = repr(unknown[0]) if unknown else "none"
        raise UsageError(f"unknown kind of defect {named}; known are {', '.join(KINDS)}")
    if min(image.shape[:2]) < LEAST_SIDE:
        raise UsageError(
            f"defects are drawn on pictures of {LEAST_SIDE} x {LEAST_SIDE} px or more, "
            f"got {image.shape[1]} x {image.shape[0]} px"
        )


def _bits(picture: Picture, *, grey: bool) -> UInt8[ndarray, "height width 3"]:
    """Round to 8 bits; a grey picture stays grey, or colour alone would give the defect away."""
    if grey:
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _changed(
    before: UInt8[ndarray, "height width 3"],
    after: UInt8[ndarray, "height width 3"],
    allowed: Bool[ndarray, "height width"],
) -> Bool[ndarray, "height width"]:
    """What changed visibly and may change, without single pixels and with small gaps closed."""
    apart = np.abs(after.astype(np.int16) - before).max(axis=2)
    visible = (apart >= VISIBLE) & allowed
    numbered, _ = label(visible, np.ones((3, 3), np.int8))
    sizes = np.bincount(numbered.ravel())
    sizes[0] = 0
    kept = (sizes >= _PIECE_PIXELS)[numbered]
    # Padded, since closing takes what lies beyond the picture for empty and would bite into its rim.
    padded = np.pad(kept, 2, mode="edge")
    closed = binary_closing(padded, np.ones((3, 3), np.bool_))[2:-2, 2:-2]
    return (closed | kept) & allowed


def _spotted(
    image: UInt8[ndarray, "height width 3"], rng: Generator, canvas: Canvas
) -> tuple[UInt8[ndarray, "height width 3"], Bool[ndarray, "height width"]]:
    """A round spot, each of its pixels 100 levels brighter or darker: it shows on whatever there is."""
    here = placed(rng, canvas)
    radius = np.float32(rng.uniform(4, 12))
    mask = (np.hypot(here.x, here.y) <= radius) & canvas.allowed
    levels = image.astype(np.int16)
    spot = np.where(image < 128, levels + 100, levels - 100).astype(np.uint8)
    return np.where(mask[..., None], spot, image), mask
