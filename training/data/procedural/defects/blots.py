"""Broad defects of the surface: stain, burn, discoloration, contamination, smear, misprint."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from vipx.training.data.procedural.defects.shape import (
    PI,
    blob,
    darker_or_brighter,
    placed,
    standing_out,
)
from vipx.training.data.procedural.grid import Grid, box, disc, ring, stroke
from vipx.training.data.procedural.noise import Picture, blend, clouds, colour, fractal, slope
from vipx.training.data.procedural.scene import Scene


def stain(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """A soaked or dried patch, darker at its border, through which the surface shows."""
    inside = blob(rng, scene, (10, 30))
    soft = float(rng.uniform(1, 5))
    alpha = np.clip(inside / soft, 0, 1) * scene.matte
    edge = np.exp(-((inside / (soft + 1.5)) ** 2)) * scene.matte
    tint = colour(rng, saturation=(0.2, 0.9), value=(0.45, 0.9))
    factor = darker_or_brighter(rng, image, alpha)
    wet = image * (tint / tint.max()) * np.float32(factor)
    strength = float(rng.uniform(0.6, 1.0)) * (0.85 + 0.1 * clouds(rng, scene.grid, 12))
    image = blend(image, wet, np.clip(alpha * strength, 0, 1))
    return image * (1 - np.float32(rng.uniform(0, 0.35)) * edge)[..., None]


def burn(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """Charred black in the middle, brown around it."""
    inside = blob(rng, scene, (9, 24), 0.3)
    reach = float(rng.uniform(5, 14))
    char = np.clip(inside / reach, 0, 1) * scene.matte
    halo = np.clip(inside / reach + 0.8, 0, 1) * scene.matte
    brown = np.array([0.45, 0.26, 0.1], np.float32) * np.float32(rng.uniform(0.6, 1.2))
    image = blend(image, image * 0.4 + brown * 0.6, halo * 0.7)
    soot = 1 + 0.5 * clouds(rng, scene.grid, 4)
    return blend(image, np.array([0.05, 0.04, 0.03], np.float32) * soot[..., None], char * 0.92)


def discoloration(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """A zone of another hue or brightness with soft borders; the texture stays."""
    inside = blob(rng, scene, (14, 34), 0.3)
    alpha = np.clip(inside / float(rng.uniform(4, 10)), 0, 1) * scene.matte
    shift = rng.uniform(-0.35, 0.35, 3).astype(np.float32)
    shift = shift / np.abs(shift).max() * np.float32(rng.uniform(0.2, 0.4))
    here = (image * alpha[..., None]).sum((0, 1)) / np.float32(alpha.sum() + 1e-6)
    shift = np.where((here + shift > 1) | (here + shift < 0), -shift, shift)
    return image + alpha[..., None] * shift


def contamination(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """One to eight foreign grains with a shadow."""
    cluster = placed(rng, scene)
    inside = np.full(scene.grid.shape, -1e3, np.float32)
    for _ in range(int(rng.integers(1, 9))):
        x, y = (float(one) for one in rng.normal(0, 14, 2))
        inside = np.maximum(inside, disc(cluster, float(rng.uniform(2.5, 7)), x, y))
    inside = inside + np.clip(clouds(rng, scene.grid, 6), -1.5, 1.5)
    alpha = scene.grid.matte(inside)
    paint = standing_out(rng, image, alpha) * (1 + 0.2 * clouds(rng, scene.grid, 4))[..., None]
    image = image * (1 - 0.4 * np.clip(1 + inside / 3, 0, 1))[..., None]
    return blend(image, paint, alpha)


def smear(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """Paint, glue or grease drawn out in one direction."""
    g = placed(rng, scene)
    length, wide = float(rng.uniform(25, 60)), float(rng.uniform(6, 15))
    fade = np.clip((length - g.x) / length, 0, 1) * np.clip((g.x + wide) / 6, 0, 1)
    ragged = clouds(rng, scene.grid, 8) * 0.25 * wide
    body = np.clip((wide - np.abs(g.y) + ragged) / 4, 0, 1)
    alpha = fade * body * scene.matte * float(rng.uniform(0.65, 0.95))
    gleam = slope(np.clip(body, 0, 1), scene.light, scene.grid) * 1.5
    paint = standing_out(rng, image, alpha) + (gleam * 0.3)[..., None]
    return blend(image, paint, alpha)


def misprint(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """Ink where none belongs: a stray stamp of bars, rings or strokes."""
    g = placed(rng, scene).moved(0.0, scale=float(rng.uniform(0.7, 1.4)))
    alpha = g.matte(_stamp(rng, g)) * scene.matte
    worn = np.clip(0.95 + 0.25 * fractal(rng, scene.grid, 12), 0.3, 1)
    return blend(image, standing_out(rng, image, alpha), alpha * worn * 0.9)


def _stamp(rng: Generator, g: Grid) -> np.ndarray:
    """Signed distance to one of three stamps about 40 units wide."""
    kind = int(rng.integers(3))
    if kind == 0:
        return np.maximum(ring(g, 17, 4), stroke(g, (-11, 0, 11, 0), 4))
    if kind == 1:
        bars = np.sin(g.x * float(rng.uniform(0.6, 1.1))) * 3
        return np.minimum(box(g, (22, 9)), bars.astype(np.float32))
    angles = rng.uniform(-PI, PI, 3)
    marks = [stroke(g.moved(float(one)), (-14, 0, 14, 5), 4.5) for one in angles]
    return np.maximum(np.maximum(marks[0], marks[1]), marks[2])
