"""Random fields, colours and light: what makes a drawn surface look like a material."""

from __future__ import annotations

import colorsys

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from numpy.random import Generator
from PIL import Image

from vipx.training.data.procedural.grid import Field, Grid, Number

Colour = Float32[ndarray, "3"]
Picture = Float32[ndarray, "height width 3"]


def speckle(rng: Generator, grid: Grid) -> Field:
    """White noise, one standard normal value a pixel."""
    return rng.standard_normal(grid.shape, dtype=np.float32)


def clouds(rng: Generator, grid: Grid, size: Number | tuple[Number, Number]) -> Field:
    """Smooth noise of about unit deviation whose features measure `size` units (or (along x, along y))."""
    height, width = grid.shape
    along_x, along_y = size if isinstance(size, tuple) else (size, size)
    rows = int(height * grid.pixel / max(along_y, grid.pixel)) + 3
    cols = int(width * grid.pixel / max(along_x, grid.pixel)) + 3
    coarse = rng.standard_normal((rows, cols), dtype=np.float32)
    # The corners stay fixed to the picture: only the box inside the margins is enlarged.
    inside = (0.5, 0.5, cols - 0.5, rows - 0.5)
    fine = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC, box=inside)
    return np.asarray(fine) * np.float32(1.35)


def fractal(
    rng: Generator, grid: Grid, size: Number, octaves: int = 4, fade: Number = 0.55
) -> Field:
    """Clouds upon clouds: each octave has half the size and `fade` times the strength."""
    total = np.zeros(grid.shape, np.float32)
    strength, norm = 1.0, 0.0
    for octave in range(octaves):
        total += np.float32(strength) * clouds(rng, grid, size / 2**octave)
        norm += strength**2
        strength *= fade
    return total / np.float32(np.sqrt(norm))


def colour(
    rng: Generator,
    hue: tuple[Number, Number] = (0.0, 1.0),
    saturation: tuple[Number, Number] = (0.0, 0.8),
    value: tuple[Number, Number] = (0.25, 0.9),
) -> Colour:
    """A random RGB colour in [0, 1] from ranges of hue, saturation and value."""
    h, s, v = (float(rng.uniform(*span)) for span in (hue, saturation, value))
    return np.array(colorsys.hsv_to_rgb(h % 1.0, s, v), np.float32)


def steel(rng: Generator, value: tuple[Number, Number] = (0.45, 0.85)) -> Colour:
    """A metal's colour: mostly grey, now and then brass or copper."""
    if rng.random() < 0.25:
        return colour(rng, (0.05, 0.14), (0.25, 0.6), value)
    return colour(rng, (0.5, 0.7), (0.0, 0.12), value)


def tinted(base: Colour, shade: Field) -> Picture:
    """One colour under a shade: 1 leaves it, less darkens, more brightens."""
    return shade[..., None] * base


def blend(under: Picture, over: Picture | Colour, alpha: Field) -> Picture:
    """`over` laid upon `under` with coverage `alpha` in [0, 1]."""
    return under + alpha[..., None] * (over - under)


def slope(height: Field, angle: Number, grid: Grid) -> Field:
    """How steeply a relief rises towards the light that comes from `angle`, per unit."""
    out = np.zeros_like(height)
    scale = np.float32(0.5 / grid.pixel)
    out[:, 1:-1] += (height[:, 2:] - height[:, :-2]) * (np.float32(np.cos(angle)) * scale)
    out[1:-1, :] += (height[2:, :] - height[:-2, :]) * (np.float32(np.sin(angle)) * scale)
    return out


def bevel(inside: Field, width: Number) -> Field:
    """A rounded edge: the height in [0, 1] that rises over `width` units from a shape's border inwards."""
    t = np.clip(inside / np.float32(width), 0, 1)
    return np.sqrt(t * (2 - t))
