"""What parts lie on, how they lie, and how a solid shape is lit."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from vipx.training.data.procedural.grid import Field, Grid, Number
from vipx.training.data.procedural.noise import (
    Colour,
    Picture,
    bevel,
    clouds,
    colour,
    fractal,
    slope,
    speckle,
    tinted,
)
from vipx.training.data.procedural.scene import Scene

PI = float(np.pi)


def ground(rng: Generator, grid: Grid) -> Picture:
    """A tray, belt or table: plain, cloudy, grainy or ribbed."""
    kind = int(rng.integers(4))
    shade = 1 + 0.02 * speckle(rng, grid)
    if kind == 1:
        shade += 0.06 * fractal(rng, grid, 70)
    elif kind == 2:
        shade += 0.1 * clouds(rng, grid, 3)
    elif kind == 3:
        g = grid.moved(float(rng.uniform(-PI, PI)))
        shade += 0.08 * np.sin(g.x * float(rng.uniform(0.3, 1.2)))
    value = (0.03, 0.3) if rng.random() < 0.5 else (0.5, 0.97)
    return tinted(colour(rng, saturation=(0, 0.35), value=value), shade)


def pose(rng: Generator, grid: Grid, reach: Number, tilt: Number = PI) -> Grid:
    """A turned, shifted grid on which a part of radius `reach` fills a fair share of the picture."""
    scale = float(rng.uniform(76, 104)) / reach
    room = max(0.0, 106 - reach * scale)
    cx, cy = float(rng.uniform(-room, room)), float(rng.uniform(-room, room))
    return grid.moved(float(rng.uniform(-tilt, tilt)), cx, cy, scale)


def scene_on(rng: Generator, grid: Grid, inside: Field, g: Grid) -> Scene:
    """A scene with the part's matte and its soft shadow on the ground, still without the part."""
    back = ground(rng, grid)
    scene = Scene(grid, back, g.matte(inside), light=float(rng.uniform(-PI, PI)))
    reach = float(rng.uniform(4, 12)) * g.pixel / grid.pixel
    shadow = np.clip(1 + inside / np.float32(reach), 0, 1) * np.float32(rng.uniform(0.1, 0.55))
    scene.backdrop = back * (1 - shadow * (1 - scene.matte))[..., None]
    return scene


def solid(rng: Generator, scene: Scene, inside: Field, base: Colour, edge: Number) -> Picture:
    """A body of one colour with a rounded edge `edge` units wide, lit from the scene's light."""
    grid = scene.grid
    light = slope(bevel(inside, edge), scene.light, grid) * np.float32(rng.uniform(0.5, 1.5))
    shade = 0.9 + np.clip(light, -0.5, 0.5) + 0.03 * fractal(rng, grid, 60)
    return tinted(base, shade + 0.02 * speckle(rng, grid))
