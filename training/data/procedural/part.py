"""One picture of one part, good or with one defect, and where exactly it differs from the good one."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray
from numpy.random import Generator
from PIL import Image, ImageFilter

from vipx.errors import UsageError
from vipx.training.data.procedural.camera import camera_for
from vipx.training.data.procedural.catalogue import DEFECTS, DRAWINGS, FLAWS, defects_of
from vipx.training.data.procedural.grid import grid_of

VISIBLE = 9
"""A pixel counts as changed from this difference on, of 255, in any channel."""

SMALLEST = 0.008
"""The share of the picture from which on a defect is large enough to show."""

CLEAR = 45.0
"""The mean change within the mask, of 255, from which on a defect is clear enough to show."""

TRIES = 10
"""How often a defect that hardly shows is drawn anew; the one that shows best is kept."""

SMALLEST_SIDE = 32


@dataclass(frozen=True)
class Part:
    """A drawn part: RGB image, mask of the defect's pixels, and what it shows (defect None: good)."""

    image: UInt8[ndarray, "height width 3"]
    mask: Bool[ndarray, "height width"]
    category: str
    defect: str | None


def draw_part(
    category: str, seed: int, *, height: int = 224, width: int = 224, defect: str | None = None
) -> Part:
    """Draw one part; the same arguments give the same bits.

    A defective part equals the good part of the same seed wherever its mask is False.

    Args:
        category: a name of SEEN or UNSEEN.
        seed: any non-negative number; pose, colours, light and noise follow from it.
        height: in pixels, at least 32.
        width: in pixels, at least 32.
        defect: a name of DEFECTS that the category offers, "random", or None for a good part.

    Raises:
        UsageError: an unknown category or defect, or one that this category does not offer.
    """
    _check(category, seed, (height, width), defect)
    grid = grid_of(height, width)
    scene = DRAWINGS[category](_stream(category, seed, 0), grid)
    camera = camera_for(_stream(category, seed, 1), grid)
    plain = scene.picture()
    good = camera.exposed(plain)
    if defect is None:
        return Part(good, np.zeros((height, width), np.bool_), category, None)
    if defect == "random":
        defect = random_defect(category, seed)
    image, mask, best = good, np.zeros((height, width), np.bool_), 0.0
    for attempt in range(TRIES):
        rng = _stream(category, seed, 2 + attempt, defect)
        bad = camera.exposed(FLAWS[defect](rng, scene, plain))
        changed = _changed(good, bad)
        visibility = _visibility(good, bad, changed)
        if visibility > best:
            image, mask, best = bad, changed, visibility
        if best == 1:
            break
    return Part(np.where(mask[..., None], image, good), mask, category, defect)


def random_defect(category: str, seed: int) -> str:
    """One of the defects that the category offers, drawn from the seed."""
    offered = defects_of(category)
    return offered[int(_stream(category, seed, 99).integers(len(offered)))]


def _stream(category: str, seed: int, stage: int, defect: str = "") -> Generator:
    """Random numbers of their own for each stage: a defect never moves the part under it."""
    return np.random.default_rng(
        [zlib.crc32(category.encode()), seed, stage, zlib.crc32(defect.encode())]
    )


def _changed(
    good: UInt8[ndarray, "height width 3"], bad: UInt8[ndarray, "height width 3"]
) -> Bool[ndarray, "height width"]:
    """The visibly changed pixels: specks of one pixel are dropped, gaps of one pixel closed."""
    far = np.maximum(good, bad) - np.minimum(good, bad)
    seen = Image.fromarray((far.max(2) >= VISIBLE).astype(np.uint8) * 255)
    seen = seen.filter(ImageFilter.MedianFilter(3))
    closed = seen.filter(ImageFilter.MaxFilter(3)).filter(ImageFilter.MinFilter(3))
    return np.asarray(closed) > 127


def _visibility(
    good: UInt8[ndarray, "height width 3"],
    bad: UInt8[ndarray, "height width 3"],
    changed: Bool[ndarray, "height width"],
) -> float:
    """Say how well a defect shows, from 0 to 1: large enough and clear enough."""
    if not changed.any():
        return 0.0
    contrast = (np.maximum(good, bad) - np.minimum(good, bad)).max(2)[changed].mean()
    return float(min(changed.mean() / SMALLEST, 1.0) * min(contrast / CLEAR, 1.0))


def _check(category: str, seed: int, size: tuple[int, int], defect: str | None) -> None:
    """Refuse what cannot be drawn, naming what can."""
    offered = defects_of(category)
    if defect not in (None, "random", *DEFECTS):
        raise UsageError(f"unknown defect {defect!r}; known are random, {', '.join(DEFECTS)}")
    if defect not in (None, "random", *offered):
        raise UsageError(f"{category} offers no defect {defect!r}, only {', '.join(offered)}")
    if seed < 0:
        raise UsageError(f"seed: expected a number of at least 0, got {seed}")
    if min(size) < SMALLEST_SIDE:
        raise UsageError(f"size: expected at least {SMALLEST_SIDE} px, got {size[0]} x {size[1]}")
