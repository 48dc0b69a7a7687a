"""Soft surfaces: woven and knitted threads, pile, hide, foam, paper and film."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from vipx.training.data.procedural.grid import Field, Grid
from vipx.training.data.procedural.noise import (
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


def wave(phase: Field, sharpness: float = 1.0) -> Field:
    """A thread's round profile in [0, 1], one thread per unit of phase."""
    return np.abs(np.sin(np.float32(PI) * phase)) ** np.float32(sharpness)


def woven_fabric(rng: Generator, grid: Grid) -> Scene:
    """Plain weave: each thread goes over one and under the next, two colours at most."""
    angle, pitch = float(rng.uniform(-PI, PI)), float(rng.uniform(7, 16))
    g = grid.moved(angle)
    wobble = clouds(rng, grid, 50) * float(rng.uniform(0.3, 1.5))
    u, v = (g.x + wobble) / pitch, (g.y + wobble) / (pitch * float(rng.uniform(0.8, 1.25)))
    over = (np.floor(u) + np.floor(v)) % 2 < 0.5
    sharp = float(rng.uniform(0.4, 1.0))
    warp = wave(u, sharp) * (0.65 + 0.35 * wave(v, 0.7))
    weft = wave(v, sharp) * (0.65 + 0.35 * wave(u, 0.7))
    shade = np.where(over, warp, weft) * (1 + 0.06 * speckle(rng, grid))
    first = colour(rng, value=(0.35, 0.95))
    second = first * float(rng.uniform(0.8, 1.1)) if rng.random() < 0.7 else colour(rng)
    paint = np.where(over[..., None], first, second)
    return texture(grid, paint * (0.35 + 0.65 * shade)[..., None], grain=angle)


def knit(rng: Generator, grid: Grid) -> Scene:
    """Stockinette: columns of V-shaped stitches."""
    angle, width = float(rng.uniform(-PI, PI)), float(rng.uniform(12, 20))
    g = grid.moved(angle)
    bend = clouds(rng, grid, 60) * 1.2
    u = (g.x + bend) / width
    side = np.abs(u - np.floor(u) - 0.5) * 2
    rise = float(rng.uniform(0.5, 0.9))
    v = (g.y + bend) / (width * float(rng.uniform(0.55, 0.8))) - side * rise
    strand = wave(v, 0.8) * (1 - 0.55 * np.abs(side * 2 - 1) ** 3)
    ply = 0.1 * np.sin((v * 3 + side * 2) * 2 * PI)
    shade = 0.3 + 0.7 * strand * (0.95 + ply) + 0.04 * speckle(rng, grid)
    return texture(grid, tinted(colour(rng, value=(0.4, 0.95)), shade), grain=angle)


def carpet(rng: Generator, grid: Grid) -> Scene:
    """Tufts of pile, each with a colour of its own."""
    size = float(rng.uniform(4, 8))
    height = clouds(rng, grid, size) + 0.6 * clouds(rng, grid, size / 2)
    light = slope(height, float(rng.uniform(-PI, PI)), grid)
    mix = np.clip(0.5 + clouds(rng, grid, size * 1.5) * 0.6, 0, 1)
    base = colour(rng, value=(0.25, 0.75))
    other = base * float(rng.uniform(0.55, 0.9)) if rng.random() < 0.6 else colour(rng)
    shade = 1 + light * size * 0.12 + height * 0.1 + 0.08 * speckle(rng, grid)
    return texture(grid, blend(tinted(base, shade), tinted(other, shade), mix))


def leather(rng: Generator, grid: Grid) -> Scene:
    """Grained hide: wrinkles run between irregular bumps."""
    size = float(rng.uniform(9, 22))
    creases = np.minimum(np.abs(clouds(rng, grid, size)), np.abs(clouds(rng, grid, size)))
    relief = np.clip(creases * float(rng.uniform(2.0, 4.0)), 0, 1)
    light = slope(relief, float(rng.uniform(-PI, PI)), grid)
    shade = 0.75 + 0.25 * relief + light * float(rng.uniform(0.4, 1.2))
    shade += 0.08 * clouds(rng, grid, 70) + 0.03 * speckle(rng, grid)
    base = colour(rng, (-0.03, 0.12), (0.2, 0.75), (0.2, 0.8))
    if rng.random() < 0.35:
        base = colour(rng, saturation=(0.0, 0.6))
    return texture(grid, tinted(base, shade))


def foam(rng: Generator, grid: Grid) -> Scene:
    """Open pores of many sizes in a soft block."""
    size = float(rng.uniform(6, 13))
    pores = np.clip(clouds(rng, grid, size) - 0.45, 0, 1.2)
    pores += 0.8 * np.clip(clouds(rng, grid, size / 2) - 0.6, 0, 1.2)
    rim = slope(-pores, float(rng.uniform(-PI, PI)), grid)
    shade = 1 - float(rng.uniform(0.35, 0.75)) * pores + rim * 1.2 + 0.04 * fractal(rng, grid, 60)
    return texture(grid, tinted(colour(rng, saturation=(0, 0.6), value=(0.45, 0.95)), shade))


def paper(rng: Generator, grid: Grid) -> Scene:
    """Fibrous sheet, plain or with printed rules."""
    shade = 1 + 0.03 * fractal(rng, grid, 40) + 0.02 * clouds(rng, grid, (14, 2.5))
    shade += 0.02 * speckle(rng, grid)
    image = tinted(colour(rng, saturation=(0, 0.3), value=(0.7, 0.97)), shade)
    if rng.random() < 0.6:
        g = grid.moved(float(rng.uniform(-PI, PI)))
        pitch, line = float(rng.uniform(12, 34)), float(rng.uniform(1.0, 3.0))
        near = line / 2 - np.abs(g.y - np.round(g.y / pitch) * pitch)
        if rng.random() < 0.5:
            near = np.maximum(near, line / 2 - np.abs(g.x - np.round(g.x / pitch) * pitch))
        image = blend(image, colour(rng, value=(0.1, 0.6)), 0.8 * grid.matte(near))
    return texture(grid, image)


def film(rng: Generator, grid: Grid) -> Scene:
    """Smooth painted or moulded plastic: almost nothing to see."""
    peel = slope(clouds(rng, grid, float(rng.uniform(5, 16))), float(rng.uniform(-PI, PI)), grid)
    shade = (
        1
        + peel * float(rng.uniform(0, 0.35))
        + float(rng.uniform(0, 0.06)) * clouds(rng, grid, 110)
    )
    return texture(grid, tinted(colour(rng, saturation=(0, 0.95), value=(0.12, 0.95)), shade))


def braid(rng: Generator, grid: Grid) -> Scene:
    """Basket-like plaits: bundles of parallel strands at right angles."""
    angle, pitch = float(rng.uniform(-PI, PI)), float(rng.uniform(22, 40))
    g = grid.moved(angle)
    u, v = g.x / pitch, g.y / pitch
    across = (np.floor(u) + np.floor(v)) % 2 < 0.5
    strands = int(rng.integers(3, 6))
    along = np.where(across, u, v)
    fibre = wave(np.where(across, v, u) * strands, 0.5)
    dome = wave(along, 0.6)
    tint = clouds(rng, grid, pitch / 2) * 0.05 + 0.05 * speckle(rng, grid)
    shade = (0.35 + 0.65 * fibre) * (0.45 + 0.55 * dome) + tint
    base = colour(rng, (0.05, 0.16), (0.2, 0.6), (0.5, 0.95)) if rng.random() < 0.6 else colour(rng)
    return texture(grid, tinted(base, shade), grain=angle)


def halftone(rng: Generator, grid: Grid) -> Scene:
    """A printed pattern of dots, rings or diamonds on a plain ground."""
    g = grid.moved(float(rng.uniform(-PI, PI)))
    pitch = float(rng.uniform(10, 26))
    u = g.x - np.round(g.x / pitch) * pitch
    row = np.round(g.x / pitch) % 2 * (pitch / 2 if rng.random() < 0.5 else 0)
    v = (g.y - row) - np.round((g.y - row) / pitch) * pitch
    kind = int(rng.integers(3))
    reach = np.abs(u) + np.abs(v) if kind == 1 else np.hypot(u, v)
    inside = pitch * float(rng.uniform(0.2, 0.38)) - reach
    if kind == 2:
        inside = pitch * 0.1 - np.abs(inside)
    ground = tinted(colour(rng), 1 + 0.02 * fractal(rng, grid, 30))
    return texture(grid, blend(ground, colour(rng), g.matte(inside.astype(np.float32))))
