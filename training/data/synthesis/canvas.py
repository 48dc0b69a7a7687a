"""The picture that a defect is drawn on, and the places and shapes of defects there."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy import ndarray
from numpy.random import Generator

from vipx.training.data.procedural.grid import Grid, disc, grid_of, stroke
from vipx.training.data.procedural.noise import clouds

__all__ = ["Canvas", "blob", "canvas_of", "coverage", "line", "placed"]

Field = Float32[ndarray, "height width"]
Picture = Float32[ndarray, "height width 3"]


@dataclass(frozen=True, slots=True)
class Canvas:
    """A good picture in [0, 1], its grid (the shorter side is 224 units), and where defects may lie."""

    picture: Picture
    grid: Grid
    allowed: Bool[ndarray, "height width"]


def canvas_of(
    image: UInt8[ndarray, "height width 3"], allowed: Bool[ndarray, "height width"]
) -> Canvas:
    """Make a canvas of a picture."""
    picture = image.astype(np.float32) / np.float32(255)
    return Canvas(picture, grid_of(image.shape[0], image.shape[1]), allowed)


def placed(rng: Generator, canvas: Canvas) -> Grid:
    """The grid around a random place where defects may lie, turned by a random angle."""
    rows, columns = np.nonzero(canvas.allowed)
    pick = int(rng.integers(rows.size))
    x = float(canvas.grid.x[rows[pick], columns[pick]])
    y = float(canvas.grid.y[rows[pick], columns[pick]])
    return canvas.grid.moved(float(rng.uniform(-np.pi, np.pi)), x, y)


def blob(rng: Generator, canvas: Canvas, size: tuple[int, int]) -> Field:
    """An irregular patch as a field that is positive inside, about the distance to its rim in units."""
    radius = float(rng.uniform(*size))
    stretch = float(rng.uniform(1.0, 1.8))
    here = placed(rng, canvas)
    round_patch = disc(Grid(here.x / np.float32(stretch), here.y, here.pixel), radius)
    ragged = clouds(rng, canvas.grid, radius * 0.8) * np.float32(radius * rng.uniform(0.15, 0.45))
    return round_patch + np.clip(ragged, -radius, radius / 2)


def line(rng: Generator, canvas: Canvas, *, bend: float) -> Field:
    """A thin stroke of a few joints as a field that is positive inside; `bend` is the turn at a joint, rad."""
    here = placed(rng, canvas)
    joints = int(rng.integers(3, 7))
    reach, width = float(rng.uniform(8, 26)), float(rng.uniform(1.4, 3.6))
    x = y = heading = 0.0
    inside = np.full(canvas.grid.shape, -1e3, np.float32)
    for _ in range(joints):
        heading += float(rng.normal(0, bend))
        end_x, end_y = x + reach * float(np.cos(heading)), y + reach * float(np.sin(heading))
        inside = np.maximum(inside, stroke(here, (x, y, end_x, end_y), width))
        x, y = end_x, end_y
    return inside


def coverage(inside: Field, soft: float) -> Field:
    """Opacity in [0, 1] of a shape whose rim fades over `soft` units inwards."""
    return np.clip(inside / np.float32(soft), 0, 1)
