"""Hard surfaces: tiles, stone, concrete and wood."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from vipx.training.data.procedural.grid import Field, Grid
from vipx.training.data.procedural.noise import (
    Picture,
    bevel,
    blend,
    clouds,
    colour,
    fractal,
    slope,
    speckle,
    tinted,
)
from vipx.training.data.procedural.scene import Scene, texture

PI = float(np.pi)


def ceramic_tile(rng: Generator, grid: Grid) -> Scene:
    """Glazed tiles in a grid or a running bond, with grout between them."""
    g = grid.moved(float(rng.uniform(-PI, PI)))
    wide, high = float(rng.uniform(34, 90)), float(rng.uniform(34, 70))
    row = np.floor(g.y / high)
    x = g.x + row * (wide * float(rng.choice([0.0, 0.5])))
    edge = np.minimum(
        wide / 2 - np.abs(x - (np.floor(x / wide) + 0.5) * wide),
        high / 2 - np.abs(g.y - (row + 0.5) * high),
    )
    gap = float(rng.uniform(1.2, 3.5))
    inside = (edge - gap).astype(np.float32)
    tile = np.sin(np.floor(x / wide) * 12.9898 + row * 78.233) * float(rng.uniform(0, 0.1))
    relief = bevel(inside, float(rng.uniform(2, 6)))
    shade = 0.95 + tile + slope(relief, float(rng.uniform(-PI, PI)), grid) * 0.5
    shade = shade.astype(np.float32) + 0.02 * fractal(rng, grid, 50)
    grout = tinted(
        colour(rng, saturation=(0, 0.15), value=(0.2, 0.8)), 1 + 0.06 * speckle(rng, grid)
    )
    glaze = tinted(colour(rng, saturation=(0, 0.6), value=(0.4, 0.95)), shade)
    return texture(grid, blend(grout, glaze, g.matte(inside)))


def concrete(rng: Generator, grid: Grid) -> Scene:
    """Grey, blotchy and grainy, with the odd pinhole."""
    shade = 1 + float(rng.uniform(0.04, 0.1)) * fractal(rng, grid, 80, 5, 0.7)
    shade += float(rng.uniform(0.02, 0.07)) * speckle(rng, grid)
    pin = clouds(rng, grid, float(rng.uniform(3, 5)))
    shade -= 0.25 * np.clip(pin - float(rng.uniform(2.0, 2.6)), 0, 1)
    return texture(grid, tinted(colour(rng, (0.05, 0.6), (0, 0.12), (0.35, 0.8)), shade))


def asphalt(rng: Generator, grid: Grid) -> Scene:
    """Small bright and dark grains pressed into a dark binder; also coarse sandpaper."""
    size = float(rng.uniform(2.5, 6))
    grain = clouds(rng, grid, size)
    light = slope(grain, float(rng.uniform(-PI, PI)), grid) * size * 0.15
    shade = 1 + float(rng.uniform(0.1, 0.3)) * grain + light + 0.08 * speckle(rng, grid)
    return texture(grid, tinted(colour(rng, saturation=(0, 0.35), value=(0.15, 0.6)), shade))


def marble(rng: Generator, grid: Grid) -> Scene:
    """Veins that follow folded clouds."""
    g = grid.moved(float(rng.uniform(-PI, PI)))
    fold = fractal(rng, grid, float(rng.uniform(60, 120)), 5, 0.6)
    phase = g.x / float(rng.uniform(25, 70)) + fold * float(rng.uniform(0.8, 1.8))
    vein = (1 - np.abs(np.sin(phase))) ** float(rng.uniform(3, 9))
    ground = tinted(colour(rng, saturation=(0, 0.25), value=(0.55, 0.95)), 1 + 0.06 * fold)
    dark = colour(rng, saturation=(0, 0.5), value=(0.2, 0.6))
    return texture(
        grid, blend(ground, dark, vein.astype(np.float32) * float(rng.uniform(0.3, 0.8)))
    )


def _chips(rng: Generator, grid: Grid, pitch: float) -> tuple[Field, Field]:
    """Jittered cells: the signed distance to each chip's edge, and a random number for each chip."""
    drift = (
        clouds(rng, grid, pitch * 0.8) * pitch * 0.22,
        clouds(rng, grid, pitch * 0.8) * pitch * 0.22,
    )
    x, y = (grid.x + drift[0]) / pitch, (grid.y + drift[1]) / pitch
    col, row = np.floor(x), np.floor(y)
    key = np.sin(col * 127.1 + row * 311.7 + float(rng.uniform(0, 9))) * 43758.547
    key = (key - np.floor(key)).astype(np.float32)
    size = 0.18 + 0.3 * key
    dx, dy = x - col - 0.5, y - row - 0.5
    tilt = key * 6.3
    u, v = np.cos(tilt) * dx + np.sin(tilt) * dy, np.cos(tilt) * dy - np.sin(tilt) * dx
    reach = np.maximum(np.abs(u), np.abs(v) * 1.3 + 0.2 * np.abs(u))
    return ((size - reach) * pitch).astype(np.float32), key


def terrazzo(rng: Generator, grid: Grid) -> Scene:
    """Angular chips of several stones in polished cement."""
    shade = 1 + 0.03 * fractal(rng, grid, 30)
    image = tinted(colour(rng, saturation=(0, 0.2), value=(0.55, 0.92)), shade)
    for pitch in (float(rng.uniform(14, 20)), float(rng.uniform(7, 11))):
        inside, key = _chips(rng, grid.moved(float(rng.uniform(-PI, PI))), pitch)
        paint = _palette(rng, key, 0.3, (0.45, 0.85)) * shade[..., None]
        image = blend(image, paint, grid.matte(inside))
    return texture(grid, image)


def _palette(rng: Generator, key: Field, saturation: float, value: tuple[float, float]) -> Picture:
    """One of four colours for each stone's number."""
    colours = np.stack([colour(rng, saturation=(0, saturation), value=value) for _ in range(4)])
    return colours[np.minimum((key * 4).astype(np.intp), 3)]


def mosaic(rng: Generator, grid: Grid) -> Scene:
    """Small square stones of two to four colours in random order, with joints between them."""
    g = grid.moved(float(rng.uniform(-PI, PI)))
    pitch = float(rng.uniform(9, 26))
    x, y = (g.x + clouds(rng, grid, 60)) / pitch, (g.y + clouds(rng, grid, 60)) / pitch
    key = np.sin(np.floor(x) * 127.1 + np.floor(y) * 311.7 + float(rng.uniform(0, 9))) * 43758.547
    key = (key - np.floor(key)).astype(np.float32)
    near = np.maximum(np.abs(x - np.floor(x) - 0.5), np.abs(y - np.floor(y) - 0.5))
    inside = ((float(rng.uniform(0.38, 0.47)) - near) * pitch).astype(np.float32)
    shade = 0.95 + slope(bevel(inside, 3), float(rng.uniform(-PI, PI)), grid) * 0.3
    shade += 0.03 * fractal(rng, grid, 30)
    joint = tinted(colour(rng, saturation=(0, 0.15), value=(0.2, 0.85)), shade)
    return texture(
        grid,
        blend(joint, _palette(rng, key, 0.6, (0.2, 0.95)) * shade[..., None], grid.matte(inside)),
    )


def wood(rng: Generator, grid: Grid) -> Scene:
    """Year rings cut along the trunk, with pores along the fibre."""
    angle = float(rng.uniform(-PI, PI))
    g = grid.moved(angle)
    flow = clouds(rng, grid, 120) * float(rng.uniform(5, 16))
    across = (g.y + flow) / float(rng.uniform(9, 24))
    rings = np.abs(across + 0.15 * np.sin(g.x / 40) - np.round(across)) * 2
    # Fibres are drawn along x and turned by sampling the field at the turned coordinates.
    fibre = _turned(clouds(rng, grid, (60, 2.2)), g)
    shade = 1 - float(rng.uniform(0.1, 0.3)) * rings**2 + float(rng.uniform(0.03, 0.1)) * fibre
    shade = (shade + 0.02 * speckle(rng, grid)).astype(np.float32)
    base = colour(rng, (0.04, 0.12), (0.25, 0.65), (0.35, 0.9))
    return texture(grid, tinted(base, shade), grain=angle)


def _turned(field: Field, g: Grid) -> Field:
    """A field read at the grid's turned coordinates, mirrored at the borders."""
    height, width = field.shape
    col = np.abs((g.x / g.pixel + width * 1.5) % (2 * width) - width).astype(np.intp)
    row = np.abs((g.y / g.pixel + height * 1.5) % (2 * height) - height).astype(np.intp)
    return field[np.minimum(row, height - 1), np.minimum(col, width - 1)]
