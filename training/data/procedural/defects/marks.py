"""Thin defects: scratch, crack, cut, fibre, scuff."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from vipx.training.data.procedural.defects.shape import (
    blob,
    darker_or_brighter,
    line,
    standing_out,
    wander,
)
from vipx.training.data.procedural.grid import stroke
from vipx.training.data.procedural.noise import Picture, blend, clouds, colour
from vipx.training.data.procedural.scene import Scene


def scratch(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """One to three nearly straight, nearly parallel marks, bright or dark."""
    length = float(rng.uniform(40, 120))
    joints = wander(rng, scene, length, 0.05)
    inside = line(joints, length, float(rng.uniform(1.6, 4.0)))
    for _ in range(int(rng.integers(0, 3))):
        shift = float(rng.uniform(-9, 9))
        ends = (
            float(rng.uniform(0, length / 3)),
            shift,
            float(rng.uniform(length / 2, length)),
            shift,
        )
        inside = np.maximum(inside, stroke(joints[0], ends, float(rng.uniform(1.2, 2.5))))
    alpha = scene.grid.matte(inside) * scene.matte
    bright = darker_or_brighter(rng, image, alpha) > 1
    return blend(image, np.full(3, 0.95 if bright else 0.08, np.float32), alpha * 0.75)


def crack(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """A dark, jagged, branching line."""
    length = float(rng.uniform(45, 120))
    joints = wander(rng, scene, length, 0.45, 11)
    inside = line(joints, length, float(rng.uniform(2.0, 4.5)))
    for _ in range(int(rng.integers(0, 3))):
        stem = joints[int(rng.integers(2, 10))].moved(float(rng.choice([-0.8, 0.8])))
        reach = length * float(rng.uniform(0.15, 0.35))
        bend = float(rng.uniform(-8, 8))
        branch = np.maximum(
            stroke(stem, (0, 0, reach / 2, bend), 2.0),
            stroke(stem, (reach / 2, bend, reach, 0), 1.4),
        )
        inside = np.maximum(inside, branch)
    alpha = scene.grid.matte(inside + clouds(rng, scene.grid, 4) * 0.4) * scene.matte
    dark = darker_or_brighter(rng, image, alpha) < 1
    return blend(image, np.full(3, 0.03 if dark else 0.85, np.float32), alpha * 0.85)


def cut(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """A straight slit with a dark bottom and a lit lip."""
    length, width = float(rng.uniform(25, 80)), float(rng.uniform(3, 7))
    joints = wander(rng, scene, length, 0.02, 5)
    inside = line(joints, length, width)
    lip = line([g.moved(0.0, 0.0, width * 0.45) for g in joints], length, width)
    image = blend(image, np.full(3, 0.95, np.float32), scene.grid.matte(lip) * scene.matte * 0.5)
    return blend(image, np.full(3, 0.04, np.float32), scene.grid.matte(inside) * scene.matte * 0.9)


def fibre(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """A loose hair or thread lying on the part."""
    length = float(rng.uniform(40, 110))
    joints = wander(rng, scene, length, 0.35, 12)
    inside = line(joints, length, float(rng.uniform(2.0, 4.5)))
    alpha = scene.grid.matte(inside)
    shade = line([g.moved(0.0, 1.5, 2.0) for g in joints], length, 3.0)
    image = image * (1 - 0.35 * scene.grid.matte(shade))[..., None]
    return blend(image, standing_out(rng, image, alpha), alpha * 0.9)


def scuff(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """A rubbed patch: many fine strokes in one direction."""
    patch = np.clip(blob(rng, scene, (12, 26)) / 8, 0, 1)
    upright = bool(rng.random() < 0.5)
    fine, long = float(rng.uniform(1.5, 3)), float(rng.uniform(10, 26))
    streaks = clouds(rng, scene.grid, (fine, long) if upright else (long, fine))
    alpha = patch * np.clip(0.25 + 0.6 * streaks, 0, 1) * scene.matte
    bright = darker_or_brighter(rng, image, alpha) > 1
    paint = colour(rng, saturation=(0, 0.15), value=(0.85, 1.0) if bright else (0.05, 0.2))
    return blend(image, paint, alpha * 0.85)
