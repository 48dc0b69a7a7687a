"""Parts that vary in make: dials, faceplates, and small things poured on a table."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from vipx.training.data.procedural.grid import Field, Grid, box, disc, polygon, ring, stroke
from vipx.training.data.procedural.noise import Colour, blend, colour, steel
from vipx.training.data.procedural.parts.ground import PI, ground, pose, scene_on, solid
from vipx.training.data.procedural.scene import Scene


def _finish(rng: Generator) -> Colour:
    """Metal or plastic."""
    return steel(rng) if rng.random() < 0.5 else colour(rng)


def dial(rng: Generator, grid: Grid) -> Scene:
    """A round or many-sided knob: steps, printed rings, gleams, and marks all around."""
    g = pose(rng, grid, 100)
    sides = int(rng.choice([0, 0, 4, 5, 8, 12]))
    inside = polygon(g, sides, 92) if sides else disc(g, 98)
    scene = scene_on(rng, grid, inside, g)
    base = _finish(rng)
    paint = solid(rng, scene, inside, base, float(rng.uniform(2, 22)))
    gleam = 0.5 + 0.5 * np.cos(np.arctan2(g.y, g.x) * int(rng.integers(1, 4)))
    for _ in range(int(rng.integers(0, 4))):
        radius, width = float(rng.uniform(20, 88)), float(rng.uniform(2, 8))
        shine = np.minimum(base * float(rng.uniform(0.4, 2.2)) + 0.1, 1)
        paint = blend(paint, shine, (g.matte(ring(g, radius, width)) * gleam).astype(np.float32))
    scene.add(paint, scene.matte)
    for _ in range(int(rng.integers(0, 3))):
        step = disc(g, float(rng.uniform(18, 84)))
        tone = base * float(rng.uniform(0.3, 1.3)) if rng.random() < 0.7 else colour(rng)
        scene.add(solid(rng, scene, step, tone, float(rng.uniform(2, 12))), g.matte(step))
    _marks_around(rng, scene, g)
    return scene


def _marks_around(rng: Generator, scene: Scene, g: Grid) -> None:
    """Ticks, dots or pads at equal angles; any may be missing."""
    count, kind = int(rng.integers(3, 13)), int(rng.integers(3))
    near, far = float(rng.uniform(20, 50)), float(rng.uniform(56, 84))
    width, paint = float(rng.uniform(4, 9)), colour(rng, value=(0.05, 0.95))
    for element in range(count):
        turned = g.moved(2 * PI * element / count)
        if kind == 0:
            mark = stroke(turned, (near, 0.0, far, 0.0), width)
        elif kind == 1:
            mark = disc(turned, width, far, 0.0)
        else:
            mark = box(turned, (width * 1.4, width), 1, at=(far, 0.0))
        scene.add(paint, g.matte(mark), element)


def faceplate(rng: Generator, grid: Grid) -> Scene:
    """A moulded body, perhaps of two colours, with a gleam and rows of equal marks."""
    g = pose(rng, grid, 110)
    half = (98.0, float(rng.uniform(24, 80)))
    inside = box(g, half, float(rng.uniform(0.05, 1.0)) * half[1])
    scene = scene_on(rng, grid, inside, g)
    edge = float(rng.uniform(2, half[1] * 0.8))
    scene.add(solid(rng, scene, inside, _finish(rng), edge), scene.matte)
    if rng.random() < 0.5:
        side = np.minimum(inside, g.x - np.float32(rng.uniform(-50, 50)))
        scene.add(solid(rng, scene, inside, _finish(rng), edge), g.matte(side))
    shine = np.exp(-(((g.y + half[1] * float(rng.uniform(0.2, 0.6))) / 6) ** 2)) * scene.matte
    scene.add(np.ones(3, np.float32), (shine * float(rng.uniform(0, 0.5))).astype(np.float32))
    _rows_of_marks(rng, scene, g, half)
    return scene


def _rows_of_marks(rng: Generator, scene: Scene, g: Grid, half: tuple[float, float]) -> None:
    """One shape in one to three rows of equal pitch; any may be missing."""
    cols, rows = int(rng.integers(2, 7)), int(rng.integers(1, 4))
    size = min(60 / cols, half[1] * 0.6 / rows)
    paint, kind = colour(rng, value=(0.05, 0.95)), int(rng.integers(3))
    span, shift = float(rng.uniform(60, 150)), float(rng.uniform(-20, 20))
    for element in range(cols * rows):
        row, col = divmod(element, cols)
        x = shift + span * ((col + 0.5) / cols - 0.5)
        y = half[1] * 1.5 * ((row + 0.5) / rows - 0.5)
        scene.add(paint, g.matte(_mark(g, kind, size, (x, y))), element)


def _mark(g: Grid, kind: int, size: float, at: tuple[float, float]) -> Field:
    if kind == 0:
        return disc(g, size * 0.7, *at)
    if kind == 1:
        return box(g, (size * 0.5, size * 0.8), size * 0.2, at=at)
    return np.minimum(disc(g, size * 0.8, *at), -disc(g, size * 0.45, *at))


def bulk(rng: Generator, grid: Grid) -> Scene:
    """Small equal things poured on a table: balls, rods or rings of one or two colours."""
    scene = Scene(grid, ground(rng, grid), np.ones(grid.shape, np.float32))
    scene.light = float(rng.uniform(-PI, PI))
    paints = [_finish(rng) for _ in range(int(rng.integers(1, 4)))]
    kind, size, pitch = int(rng.integers(3)), float(rng.uniform(6, 15)), float(rng.uniform(34, 52))
    for row in range(-3, 4):
        for col in range(-3, 4):
            if rng.random() < 0.3:
                continue
            x, y = (float(one) for one in rng.uniform(-9, 9, 2))
            g = grid.moved(float(rng.uniform(-PI, PI)), col * pitch + x, row * pitch + y)
            thing = _thing(g, kind, size)
            shade = solid(rng, scene, thing, paints[int(rng.integers(len(paints)))], size * 0.5)
            scene.add(shade, g.matte(thing))
    return scene


def _thing(g: Grid, kind: int, size: float) -> Field:
    if kind == 0:
        return disc(g, size)
    if kind == 1:
        return box(g, (size * 1.5, size * 0.5), size * 0.3)
    return ring(g, size, size * 0.6)
