"""Defects of the form: hole, pits, dent, blister, chipped edge, missing element, faults of the pattern."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from vipx.training.data.procedural.defects.shape import PI, blob, line, placed, wander
from vipx.training.data.procedural.grid import Field, disc
from vipx.training.data.procedural.noise import Picture, bevel, blend, clouds, colour, slope
from vipx.training.data.procedural.scene import Scene


def hole(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """The surface is pierced: something darker or lighter shows, with a worn rim."""
    inside = blob(rng, scene, (6, 16), 0.2)
    behind = colour(rng, saturation=(0, 0.3), value=(0.0, 0.15))
    alpha = scene.grid.matte(inside) * scene.matte
    weight = float(alpha.sum()) + 1e-6
    if float((image.mean(2) * alpha).sum()) / weight < 0.28:
        behind = colour(rng, saturation=(0, 0.3), value=(0.75, 1.0))
    rim = slope(bevel(inside + 3, 5), scene.light, scene.grid) * scene.matte
    return blend(image + 0.6 * rim[..., None], behind, alpha)


def pits(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """A colony of small craters."""
    zone = blob(rng, scene, (12, 26))
    inside = (clouds(rng, scene.grid, float(rng.uniform(5, 8))) - 0.35) * 4
    inside = np.minimum(inside, zone).astype(np.float32)
    alpha = scene.grid.matte(inside) * scene.matte
    light = slope(bevel(inside, 3), scene.light, scene.grid) * 0.7
    return blend(image, image * 0.3, alpha) + (light * scene.matte)[..., None]


def _displaced(image: Picture, scene: Scene, dx: Field, dy: Field) -> Picture:
    """The picture read (dx, dy) units away, held at the borders."""
    height, width = scene.grid.shape
    rows, cols = np.indices((height, width), dtype=np.float32)
    row = np.clip(np.round(rows + dy / scene.grid.pixel), 0, height - 1).astype(np.intp)
    col = np.clip(np.round(cols + dx / scene.grid.pixel), 0, width - 1).astype(np.intp)
    return image[row, col]


def dent(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """A pressed-in spot: one flank in the light, the other in the shade, the texture squeezed."""
    g = placed(rng, scene)
    size, long = float(rng.uniform(11, 26)), float(rng.uniform(1, 1.6))
    bowl = np.clip(1 - np.hypot(g.x / long, g.y * long) / size, 0, 1)
    bowl = (bowl * bowl * (3 - 2 * bowl) * scene.matte).astype(np.float32)
    squeeze = bowl * float(rng.uniform(-0.35, 0.35))
    world = scene.grid
    cx, cy = world.x[bowl == bowl.max()][0], world.y[bowl == bowl.max()][0]
    image = _displaced(image, scene, (world.x - cx) * squeeze, (world.y - cy) * squeeze)
    light = slope(bowl, float(rng.uniform(-PI, PI)), world) * size
    strength = float(rng.uniform(0.25, 0.5))
    return image * (1 + strength * light)[..., None] + (0.08 * light)[..., None]


def blister(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """Raised bubbles with a highlight and a shaded flank."""
    g = placed(rng, scene)
    bump = np.zeros(scene.grid.shape, np.float32)
    for _ in range(int(rng.integers(1, 6))):
        x, y = (float(one) for one in rng.normal(0, 11, 2))
        bump = np.maximum(bump, bevel(disc(g, float(rng.uniform(4, 11)), x, y), 6))
    light = slope(bump, float(rng.uniform(-PI, PI)), scene.grid) * scene.matte
    return image + np.clip(light * float(rng.uniform(2.0, 3.5)), -0.5, 0.6)[..., None]


def chipped_edge(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """A piece is broken off the part's border; the ground shows."""
    rows, cols = np.nonzero((scene.matte > 0.2) & (scene.matte < 0.8))
    pick = int(rng.integers(rows.size))
    world = scene.grid
    x, y = float(world.x[rows[pick], cols[pick]]), float(world.y[rows[pick], cols[pick]])
    size = float(rng.uniform(9, 20))
    bite = size - np.hypot(world.x - x, world.y - y)
    bite = (
        bite + np.clip(clouds(rng, world, size * 0.7) * size * 0.25, -size / 2, size / 2)
    ).astype(np.float32)
    rim = np.clip(1 + bite / 3, 0, 1) * scene.matte
    image = image * (1 - 0.3 * rim)[..., None]
    return blend(image, scene.backdrop, world.matte(bite))


def missing_element(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """One removable thing is not there."""
    del image  # the picture is composed anew
    elements = scene.elements
    return scene.picture(without=elements[int(rng.integers(len(elements)))])


def pattern_fault(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """Threads, fibres or rows are shifted along a strip of the texture: a slub, a float, a slipped row."""
    length = float(rng.uniform(50, 130))
    inside = line(wander(rng, scene, length, 0.02, 4), length, float(rng.uniform(7, 16)))
    alpha = scene.grid.matte(inside) * scene.matte
    angle, far = float(rng.uniform(-PI, PI)), float(rng.uniform(5, 14))
    dx = np.full(scene.grid.shape, far * np.cos(angle), np.float32)
    dy = np.full(scene.grid.shape, far * np.sin(angle), np.float32)
    tone = float(rng.choice([0.72, 0.8, 1.25, 1.35]))
    return blend(image, _displaced(image, scene, dx, dy) * tone, alpha)


def foreign_patch(rng: Generator, scene: Scene, image: Picture) -> Picture:
    """A piece of the same surface, turned or blurred and toned: a bad repair, a wrong inlay."""
    inside = blob(rng, scene, (12, 26), 0.25)
    alpha = scene.grid.matte(inside) * scene.matte
    other = image[::-1, ::-1] if rng.random() < 0.5 else _flat(image, alpha)
    tint = 1 + rng.uniform(-0.3, 0.3, 3).astype(np.float32)
    rim = np.exp(-((inside / 1.6) ** 2)) * scene.matte * float(rng.uniform(0.1, 0.5))
    return blend(image, other * tint, alpha) * (1 - rim)[..., None]


def _flat(image: Picture, alpha: Field) -> Picture:
    """One colour all over: the mean of what `alpha` covers."""
    mean = (image * alpha[..., None]).sum((0, 1)) / np.float32(alpha.sum() + 1e-6)
    return np.broadcast_to(mean.astype(np.float32), image.shape)
