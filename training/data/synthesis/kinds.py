"""The kinds of drawn defects: each function gives the picture with one of them in it."""

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray
from numpy.random import Generator
from scipy.fft import dstn, idstn
from scipy.ndimage import map_coordinates

from vipx.training.data.procedural.noise import blend, clouds, colour, fractal
from vipx.training.data.synthesis.canvas import Canvas, Field, Picture, blob, coverage, line

__all__ = ["distortion", "membrane", "pasted", "scratch", "seamless", "spots", "stain", "texture"]


def pasted(rng: Generator, canvas: Canvas) -> Picture:
    """A piece of the same picture in the wrong place, turned, mirrored and re-coloured."""
    alpha = coverage(blob(rng, canvas, (6, 24)), float(rng.uniform(0.6, 3)))
    return blend(canvas.picture, _recoloured(rng, _displaced(rng, canvas.picture)), alpha)


def seamless(rng: Generator, canvas: Canvas) -> Picture:
    """A piece from elsewhere whose brightness and colour are bent to meet the surroundings."""
    inside = blob(rng, canvas, (8, 26))
    source = _displaced(rng, canvas.picture)
    rows, columns = np.nonzero(inside > 0)
    picture = canvas.picture.copy()
    if rows.size == 0:
        return picture
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    merged = source[box] + membrane(canvas.picture[box] - source[box])
    # The detail is exaggerated, or one patch of a fine texture would look like any other.
    strength = np.float32(rng.uniform(1.0, 1.8))
    merged = canvas.picture[box] + strength * (merged - canvas.picture[box])
    picture[box] = blend(canvas.picture[box], merged, coverage(inside[box], 3.0))
    return picture


def texture(rng: Generator, canvas: Canvas) -> Picture:
    """A foreign material in a cloud-shaped region, more or less transparent."""
    zone = blob(rng, canvas, (14, 34))
    shape = clouds(rng, canvas.grid, float(rng.uniform(10, 30))) - np.float32(
        rng.uniform(-0.6, 0.4)
    )
    alpha = coverage(np.minimum(zone, shape * np.float32(8)), float(rng.uniform(0.8, 4)))
    grain = fractal(rng, canvas.grid, float(rng.uniform(3, 30)), octaves=3)
    shade = np.float32(1) + np.float32(rng.uniform(0.1, 0.35)) * grain
    foreign = shade[..., None] * colour(rng, saturation=(0, 0.9), value=(0.15, 0.95))
    return blend(canvas.picture, foreign, alpha * np.float32(rng.uniform(0.45, 1)))


def distortion(rng: Generator, canvas: Canvas) -> Picture:
    """The surface drawn out of place: a shift that fades towards the rim of a patch."""
    inside = blob(rng, canvas, (10, 28))
    strength = coverage(inside, 8.0) / np.float32(canvas.grid.pixel)
    wave = float(rng.uniform(12, 40))
    push = np.float32(rng.uniform(4, 12))
    down = strength * push * clouds(rng, canvas.grid, wave)
    right = strength * push * clouds(rng, canvas.grid, wave)
    rows, columns = np.indices(canvas.grid.shape, dtype=np.float32)
    places = np.stack([rows + down, columns + right])
    bands = [
        map_coordinates(band, places, order=1, mode="reflect")
        for band in np.moveaxis(canvas.picture, 2, 0)
    ]
    return np.stack(bands, axis=2).astype(np.float32)


def scratch(rng: Generator, canvas: Canvas) -> Picture:
    """One to three thin marks or cracks, brighter or darker than the surface."""
    bend = float(rng.choice([0.08, 0.6]))
    picture = canvas.picture
    for _ in range(int(rng.integers(1, 4))):
        inside = line(rng, canvas, bend=bend)
        alpha = np.clip(inside / np.float32(canvas.grid.pixel) + np.float32(0.5), 0, 1)
        grain = np.float32(1) + np.float32(0.15) * clouds(rng, canvas.grid, 5)
        paint = np.clip(grain, 0, 1.4)[..., None] * _standing_out(rng, canvas, alpha)
        picture = blend(picture, paint, alpha * np.float32(rng.uniform(0.6, 1)))
    return picture


def stain(rng: Generator, canvas: Canvas) -> Picture:
    """A translucent, tinted patch with a darker rim; the surface shows through."""
    inside = blob(rng, canvas, (8, 30))
    soft = float(rng.uniform(1.5, 6))
    tint = colour(rng, saturation=(0.1, 0.9), value=(0.3, 0.9))
    wet = canvas.picture * tint
    rim = np.exp(-((inside / np.float32(soft)) ** 2)) * np.float32(rng.uniform(0, 0.4))
    alpha = coverage(inside, soft)
    return blend(canvas.picture, wet, alpha * np.float32(rng.uniform(0.5, 1))) * (
        np.float32(1) - rim * (inside > 0)
    )[..., None].astype(np.float32)


def spots(rng: Generator, canvas: Canvas) -> Picture:
    """One to six holes or grains: dark or bright, each with a soft rim."""
    picture = canvas.picture
    for _ in range(int(rng.integers(1, 7))):
        alpha = coverage(blob(rng, canvas, (2, 9)), float(rng.uniform(0.6, 2)))
        picture = blend(picture, _standing_out(rng, canvas, alpha), alpha)
    return picture


def membrane(
    difference: Float[ndarray, "height width channels"],
) -> Float32[ndarray, "height width channels"]:
    """The smoothest surface with the same values on the rim: Laplace's equation, solved by sine transforms.

    The 5-point Laplacian on the inner points has the eigenvalues 2 cos(pi i / (h-1)) + 2 cos(pi j / (w-1)) - 4
    (P. Perez et al., Poisson Image Editing, SIGGRAPH 2003, for what it does to pictures).
    """
    surface = difference.astype(np.float64)
    height, width = difference.shape[:2]
    if min(height, width) < 3:
        return difference.astype(np.float32)
    rim = surface.copy()
    rim[1:-1, 1:-1] = 0
    known = -(rim[:-2, 1:-1] + rim[2:, 1:-1] + rim[1:-1, :-2] + rim[1:-1, 2:])
    down = 2 * np.cos(np.pi * np.arange(1, height - 1) / (height - 1))
    across = 2 * np.cos(np.pi * np.arange(1, width - 1) / (width - 1))
    eigenvalues = (down[:, None] + across[None, :] - 4)[..., None]
    surface[1:-1, 1:-1] = idstn(dstn(known, type=1, axes=(0, 1)) / eigenvalues, type=1, axes=(0, 1))
    return surface.astype(np.float32)


def _displaced(rng: Generator, picture: Picture) -> Picture:
    """The picture shifted by a quarter to three quarters of its sides, mirrored at random."""
    shift = [int(side * rng.uniform(0.25, 0.75)) for side in picture.shape[:2]]
    moved = np.roll(picture, shift, axis=(0, 1))
    for axis in (0, 1):
        if rng.random() < 0.5:
            moved = np.flip(moved, axis)
    return moved


def _recoloured(rng: Generator, picture: Picture) -> Picture:
    gain = rng.uniform(0.7, 1.3, 3).astype(np.float32)
    bias = np.float32(rng.uniform(-0.15, 0.15))
    return picture * gain + bias


def _standing_out(rng: Generator, canvas: Canvas, alpha: Field) -> Float32[ndarray, "3"]:
    """A colour that differs from what lies under `alpha` in brightness, by 0.25 or more."""
    weight = np.float32(alpha.sum() + 1e-6)
    under = float((canvas.picture.mean(axis=2) * alpha).sum() / weight)
    darker = under > 0.7 or (under > 0.3 and rng.random() < 0.5)
    value = rng.uniform(0, under - 0.25) if darker else rng.uniform(under + 0.25, 1)
    tint = colour(rng, saturation=(0, 0.25), value=(0.9, 1.0))
    return tint * np.float32(value / tint.mean())
