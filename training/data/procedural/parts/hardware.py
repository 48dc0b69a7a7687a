"""Turned, stamped and moulded parts: washer, gear, bolt, screw, plate, cap, seal, spring."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from vipx.training.data.procedural.grid import Field, Grid, box, disc, polygon, ring, stroke
from vipx.training.data.procedural.noise import bevel, blend, clouds, colour, slope, steel, tinted
from vipx.training.data.procedural.parts.ground import PI, pose, scene_on, solid
from vipx.training.data.procedural.scene import Scene


def washer(rng: Generator, grid: Grid) -> Scene:
    """A flat ring, turned or stamped."""
    g = pose(rng, grid, 100)
    hole = float(rng.uniform(30, 70))
    inside = np.minimum(disc(g, 100), -disc(g, hole))
    scene = scene_on(rng, grid, inside, g)
    paint = solid(rng, scene, inside, steel(rng), float(rng.uniform(3, 12)))
    turned = np.sin(np.hypot(g.x, g.y) * float(rng.uniform(0.8, 2)))
    paint = paint * (1 + float(rng.uniform(0, 0.06)) * turned)[..., None]
    scene.add(paint, scene.matte)
    return scene


def seal(rng: Generator, grid: Grid) -> Scene:
    """A rubber ring of round section."""
    g = pose(rng, grid, 100)
    thick = float(rng.uniform(16, 36))
    inside = ring(g, 100 - thick / 2, thick)
    scene = scene_on(rng, grid, inside, g)
    base = colour(rng, saturation=(0, 0.9), value=(0.08, 0.7))
    scene.add(solid(rng, scene, inside, base, thick / 2), scene.matte)
    return scene


def gear(rng: Generator, grid: Grid) -> Scene:
    """A spur gear with a bore; every tooth may be missing."""
    g = pose(rng, grid, 100)
    teeth, depth = int(rng.integers(10, 26)), float(rng.uniform(9, 18))
    angle, radius = np.arctan2(g.y, g.x), np.hypot(g.x, g.y)
    sector = 2 * PI / teeth
    number = np.round(angle / sector)
    off = np.abs(angle - number * sector) * radius
    flank = 2 * PI * (100 - depth) / teeth * float(rng.uniform(0.24, 0.3))
    tooth = np.minimum(flank - off - (radius - 100 + depth) * 0.25, 100 - radius)
    root = 100 - depth - radius
    bore = radius - float(rng.uniform(16, 40))
    inside = np.minimum(np.maximum(root, tooth), bore).astype(np.float32)
    scene = scene_on(rng, grid, inside, g)
    base = steel(rng) if rng.random() < 0.7 else colour(rng)
    paint = solid(rng, scene, inside, base, float(rng.uniform(2, 7)))
    scene.add(paint, g.matte(np.minimum(root, bore).astype(np.float32)))
    crown = g.matte(tooth.astype(np.float32)) * (1 - g.matte(root))
    for element in range(teeth):
        mine = np.isclose(number % teeth, element)
        scene.add(paint, crown * mine, element)
    return scene


def hex_bolt(rng: Generator, grid: Grid) -> Scene:
    """A hexagon head seen from above, with chamfer and flange, without marks: held out, see catalogue.py."""
    g = pose(rng, grid, 100)
    flange = float(rng.uniform(88, 100))
    scene = scene_on(rng, grid, disc(g, flange), g)
    base = steel(rng)
    scene.add(solid(rng, scene, disc(g, flange), base * np.float32(0.85), 6), scene.matte)
    head = polygon(g, 6, flange * float(rng.uniform(0.7, 0.82)))
    scene.add(solid(rng, scene, head, base, float(rng.uniform(3, 7))), g.matte(head))
    top = disc(g, flange * float(rng.uniform(0.56, 0.68)))
    scene.add(solid(rng, scene, top, base * np.float32(1.1), 3), g.matte(top))
    return scene


def screw(rng: Generator, grid: Grid) -> Scene:
    """A threaded screw seen from the side."""
    g = pose(rng, grid, 104)
    half, pitch = float(rng.uniform(15, 26)), float(rng.uniform(7, 13))
    wave = np.abs((g.x / pitch + g.y / half * 0.25) % 1 - 0.5) * 2
    shank = np.minimum(half - np.abs(g.y) - wave * pitch * 0.35, 96 - np.abs(g.x + 4))
    taper = (96 - g.x) * 0.6 - np.abs(g.y)
    shank = np.minimum(shank, taper) if rng.random() < 0.5 else shank
    head = box(g, (14, half * float(rng.uniform(1.5, 2.2))), 6, at=(-86, 0))
    inside = np.maximum(shank, head).astype(np.float32)
    scene = scene_on(rng, grid, inside, g)
    base = steel(rng, (0.35, 0.8))
    round_ = np.sqrt(np.clip(1 - (g.y / (half * 1.2)) ** 2, 0.02, 1))
    shade = (0.35 + 0.65 * round_) * (0.75 + 0.4 * np.where(head > 0, 0.5, wave))
    paint = solid(rng, scene, inside, base, 3) * shade.astype(np.float32)[..., None]
    scene.add(paint, scene.matte)
    return scene


def drilled_plate(rng: Generator, grid: Grid) -> Scene:
    """A stamped plate with a grid of holes; any hole may be missing."""
    g = pose(rng, grid, 118)
    half = (float(rng.uniform(70, 96)), float(rng.uniform(45, 80)))
    inside = box(g, half, float(rng.uniform(2, 24)))
    scene = scene_on(rng, grid, inside, g)
    base = steel(rng) if rng.random() < 0.6 else colour(rng)
    scene.add(solid(rng, scene, inside, base, float(rng.uniform(2, 5))), scene.matte)
    cols, rows, size = int(rng.integers(2, 5)), int(rng.integers(1, 4)), float(rng.uniform(7, 13))
    floor = scene.backdrop * np.float32(0.6)
    spread = (2 * half[0] / cols, 2 * half[1] / rows)
    for element in range(cols * rows):
        row, col = divmod(element, cols)
        at = (spread[0] * (col + 0.5) - half[0], spread[1] * (row + 0.5) - half[1])
        hole = disc(g, size, *at)
        rim = slope(bevel(-hole, 3), scene.light, grid) * 0.3 * g.matte(hole + 3)
        scene.add(np.array([0, 0, 0], np.float32), np.clip(-rim, 0, 0.6), element)
        scene.add(floor, g.matte(hole), element)
    return scene


def cap(rng: Generator, grid: Grid) -> Scene:
    """A screw cap from above: knurled rim, recessed top, perhaps a printed ring."""
    g = pose(rng, grid, 100)
    radius = np.hypot(g.x, g.y)
    ribs = np.cos(np.arctan2(g.y, g.x) * int(rng.integers(30, 70)))
    inside = (98 + 2 * ribs - radius).astype(np.float32)
    scene = scene_on(rng, grid, inside, g)
    base = colour(rng, saturation=(0, 0.9), value=(0.2, 0.95))
    rim = solid(rng, scene, inside, base, 6) * (0.85 + 0.15 * ribs)[..., None].astype(np.float32)
    scene.add(rim, scene.matte)
    top = disc(g, float(rng.uniform(70, 86)))
    scene.add(solid(rng, scene, top, base, float(rng.uniform(3, 10))), g.matte(top))
    print_ = ring(g, float(rng.uniform(25, 58)), float(rng.uniform(3, 14)))
    scene.add(colour(rng), g.matte(print_) * 0.9, 0)
    return scene


def spring(rng: Generator, grid: Grid) -> Scene:
    """A coil spring seen from the side."""
    g = pose(rng, grid, 106)
    half, pitch = float(rng.uniform(26, 44)), float(rng.uniform(13, 24))
    wire = pitch * float(rng.uniform(0.42, 0.62))
    across = g.y / half
    lean = (g.x + across * pitch * 0.25) / pitch
    away = np.abs(lean - np.round(lean)) * pitch
    inside = np.minimum(wire / 2 - away, np.minimum(half - np.abs(g.y), 96 - np.abs(g.x)))
    inside = inside.astype(np.float32)
    scene = scene_on(rng, grid, inside, g)
    dome = np.sqrt(np.clip(1 - (away / wire * 1.9) ** 2, 0.03, 1)) * (1 - 0.5 * across**2)
    scene.add(tinted(steel(rng), (0.3 + 0.75 * dome).astype(np.float32)), scene.matte)
    return scene


def bottle_mouth(rng: Generator, grid: Grid) -> Scene:
    """A glass bottle seen from above: rims of light around a dark mouth."""
    g = pose(rng, grid, 104)
    scene = scene_on(rng, grid, disc(g, 104), g)
    base = colour(rng, (0.05, 0.45), (0.1, 0.8), (0.2, 0.6))
    angle = np.arctan2(g.y, g.x)
    radius = np.hypot(g.x, g.y)
    paint = solid(rng, scene, disc(g, 104), base, 20)
    for _ in range(int(rng.integers(3, 6))):
        band, width = float(rng.uniform(50, 98)), float(rng.uniform(2, 7))
        gleam = 0.5 + 0.5 * np.cos(angle * int(rng.integers(1, 4)) + float(rng.uniform(0, 6)))
        alpha = g.matte((width / 2 - np.abs(radius - band)).astype(np.float32))
        paint = blend(paint, np.minimum(base * 2.2 + 0.2, 1), (alpha * gleam).astype(np.float32))
    mouth = disc(g, float(rng.uniform(38, 56)))
    depth = tinted(base * np.float32(0.3), 1 + 0.1 * clouds(rng, grid, 60))
    paint = blend(paint, depth, g.matte(mouth))
    scene.add(paint, scene.matte)
    return scene


def _mark(g: Grid, rng: Generator) -> Field:
    """A drawn letter-like mark about 40 units high: two or three joined strokes."""
    ends = rng.uniform(-20, 20, (3, 4))
    width = float(rng.uniform(5, 9))
    marks = [stroke(g, (float(a), float(b), float(c), float(d)), width) for a, b, c, d in ends]
    return np.maximum(np.maximum(marks[0], marks[1]), marks[2])


def pill(rng: Generator, grid: Grid) -> Scene:
    """A pressed tablet, round or oblong, scored or marked."""
    g = pose(rng, grid, 100)
    half = (96.0, float(rng.uniform(52, 96)))
    inside = box(g, half, min(half))
    scene = scene_on(rng, grid, inside, g)
    base = colour(rng, saturation=(0, 0.6), value=(0.6, 0.97))
    paint = solid(rng, scene, inside, base, float(rng.uniform(10, 40)))
    paint = paint * (1 + float(rng.uniform(0, 0.05)) * clouds(rng, grid, 5))[..., None]
    scene.add(paint, scene.matte)
    mark = stroke(g, (0, -40, 0, 40), 5) if rng.random() < 0.4 else _mark(g, rng)
    scene.add(base * np.float32(0.7), g.matte(mark) * 0.8, 0)
    return scene
