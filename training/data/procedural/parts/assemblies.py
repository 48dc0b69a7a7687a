"""Things put together: connector, cables, blister, label, capsule, circuit board."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from vipx.training.data.procedural.grid import Field, Grid, box, disc, stroke
from vipx.training.data.procedural.noise import Colour, clouds, colour, fractal, steel, tinted
from vipx.training.data.procedural.parts.ground import PI, pose, scene_on, solid
from vipx.training.data.procedural.scene import Scene

QUARTER = 0.12  # parts that lie in a fixture turn only by a few degrees


def connector(rng: Generator, grid: Grid) -> Scene:
    """A plastic housing with rows of metal pins; any pin may be missing."""
    g = pose(rng, grid, 108)
    rows, cols = int(rng.integers(1, 4)), int(rng.integers(3, 8))
    half = (98.0, 22.0 + 16 * rows)
    housing = box(g, half, 7)
    scene = scene_on(rng, grid, housing, g)
    base = colour(rng, value=(0.1, 0.9))
    scene.add(solid(rng, scene, housing, base, 5), scene.matte)
    well = box(g, (half[0] - 9, half[1] - 9), 4)
    scene.add(solid(rng, scene, -well, base * np.float32(0.5), 6), g.matte(well))
    pitch, size = 170 / cols, float(rng.uniform(0.22, 0.34))
    metal = steel(rng, (0.6, 0.95))
    for element in range(rows * cols):
        row, col = divmod(element, cols)
        at = (pitch * (col + 0.5 - cols / 2), 30 * (row + 0.5 - rows / 2))
        pin = box(g, (min(pitch * size, 11), 9), 2, at=at)
        scene.add(solid(rng, scene, pin, metal, 3), g.matte(pin), element)
    return scene


def cable_bundle(rng: Generator, grid: Grid) -> Scene:
    """A cut cable: cores of copper in coloured insulation inside a jacket; a core may be missing."""
    g = pose(rng, grid, 100)
    jacket = disc(g, 100)
    scene = scene_on(rng, grid, jacket, g)
    scene.add(solid(rng, scene, jacket, colour(rng), 8), scene.matte)
    inner = disc(g, 86)
    filler = colour(rng, saturation=(0, 0.3), value=(0.05, 0.35))
    scene.add(solid(rng, scene, inner, filler, 3), g.matte(inner))
    count = int(rng.integers(3, 8))
    orbit = 86 / (1 + float(np.sin(PI / count)))
    radius = orbit * float(np.sin(PI / count)) * 0.95
    for element in range(count):
        at = (
            orbit * float(np.cos(2 * PI * element / count)),
            orbit * float(np.sin(2 * PI * element / count)),
        )
        core = disc(g, radius, *at)
        scene.add(
            solid(rng, scene, core, colour(rng, saturation=(0.4, 1)), 5), g.matte(core), element
        )
        copper = disc(g, radius * 0.6, *at)
        strands = 1 + 0.25 * clouds(rng, grid, 5)
        paint = tinted(colour(rng, (0.05, 0.09), (0.5, 0.75), (0.5, 0.9)), strands)
        scene.add(paint, g.matte(copper), element)
    return scene


def blister_pack(rng: Generator, grid: Grid) -> Scene:
    """Tablets in the cups of a foil; any may be missing."""
    g = pose(rng, grid, 118)
    cols, rows = int(rng.integers(3, 6)), int(rng.integers(2, 4))
    half = (98.0, 98.0 * rows / cols)
    foil = box(g, half, 10)
    scene = scene_on(rng, grid, foil, g)
    scene.add(solid(rng, scene, foil, steel(rng, (0.6, 0.95)), 3), scene.matte)
    pitch = 2 * half[0] / cols
    base = colour(rng, value=(0.5, 0.97))
    long = float(rng.uniform(0.26, 0.4))
    for element in range(cols * rows):
        row, col = divmod(element, cols)
        at = (pitch * (col + 0.5) - half[0], pitch * (row + 0.5) - half[1])
        cup = box(g, (pitch * 0.44, pitch * 0.44), pitch * 0.3, at=at)
        scene.add(np.array([0.1, 0.1, 0.1], np.float32), g.matte(cup) * 0.3)
        tablet = box(g, (pitch * 0.36, pitch * long), pitch * min(0.36, long), at=at)
        scene.add(solid(rng, scene, tablet, base, pitch * 0.12), g.matte(tablet), element)
    return scene


def label(rng: Generator, grid: Grid) -> Scene:
    """A printed sticker: lines of text, a bar code and a logo."""
    g = pose(rng, grid, 118, tilt=QUARTER if rng.random() < 0.5 else PI)
    half = (98.0, float(rng.uniform(50, 76)))
    sheet = box(g, half, float(rng.uniform(1, 16)))
    scene = scene_on(rng, grid, sheet, g)
    scene.add(
        solid(rng, scene, sheet, colour(rng, saturation=(0, 0.5), value=(0.6, 0.98)), 1.5),
        scene.matte,
    )
    ink = colour(rng, value=(0.02, 0.4))
    for line in range(int(rng.integers(2, 5))):
        y = -half[1] + 14 + 13 * line
        letters = (np.sin((g.x + line * 31) * float(rng.uniform(0.8, 1.3))) > -0.3).astype(
            np.float32
        )
        text = box(g, (float(rng.uniform(40, 84)), 3.2), at=(0, y))
        scene.add(ink, g.matte(text) * letters)
    bars = np.sin(np.floor(g.x / 2.4) * 12.9898 + float(rng.uniform(0, 9))) > 0
    code = box(g, (float(rng.uniform(26, 44)), 13), at=(float(rng.uniform(-40, 40)), half[1] - 22))
    scene.add(ink, g.matte(code) * bars)
    logo = disc(g, 11, 80 * float(rng.choice([-1, 1])), half[1] - 22)
    scene.add(colour(rng), g.matte(logo))
    return scene


def battery(rng: Generator, grid: Grid) -> Scene:
    """A round cell seen from the side: sleeve, band, terminals."""
    g = pose(rng, grid, 112)
    half = float(rng.uniform(26, 44))
    body = box(g, (96, half), 5)
    scene = scene_on(rng, grid, body, g)
    dome = np.sqrt(np.clip(1 - (g.y / (half * 1.05)) ** 2, 0.03, 1))
    shade = 0.3 + 0.6 * dome + 0.25 * np.exp(-(((g.y + half * 0.4) / 5) ** 2))
    tint = shade.astype(np.float32)[..., None]
    scene.add(solid(rng, scene, body, colour(rng), 3) * tint, scene.matte)
    split = float(rng.uniform(-40, 40))
    band = np.minimum(body, g.x - np.float32(split))
    scene.add(solid(rng, scene, body, colour(rng), 3) * tint, g.matte(band))
    print_ = stroke(g, (split - 30, 0, split - 10, 0), 6)
    scene.add(colour(rng, value=(0.7, 1.0)), g.matte(print_), 0)
    knob = box(g, (7, half * 0.4), 2, at=(102, 0))
    scene.add(solid(rng, scene, knob, steel(rng), 3), g.matte(knob), 1)
    return scene


def capsule(rng: Generator, grid: Grid) -> Scene:
    """A two-coloured gelatine capsule, without print: held out, see catalogue.py."""
    g = pose(rng, grid, 100)
    half = float(rng.uniform(32, 46))
    inside = box(g, (98, half), half)
    scene = scene_on(rng, grid, inside, g)
    seam = float(rng.uniform(-12, 25))
    for side in (1.0, -1.0):
        paint = solid(rng, scene, inside, colour(rng, value=(0.4, 0.97)), half * 0.8)
        gleam = np.exp(-(((g.y + half * 0.45) / 5) ** 2)) * np.clip((80 - np.abs(g.x)) / 20, 0, 1)
        paint = paint + 0.35 * gleam[..., None].astype(np.float32)
        scene.add(paint, g.matte(np.minimum(inside, (g.x - np.float32(seam)) * np.float32(side))))
    scene.add(
        np.array([0.1, 0.1, 0.1], np.float32),
        0.35 * g.matte(np.minimum(inside, 1 - np.abs(g.x - np.float32(seam)))),
    )
    return scene


def circuit_board(rng: Generator, grid: Grid) -> Scene:
    """Solder mask with tracks, pads, chips and small components."""
    g = grid.moved(float(rng.choice([0.0, PI / 2, PI])) + float(rng.uniform(-QUARTER, QUARTER)))
    mask = colour(rng, (0.25, 0.65), (0.5, 0.95), (0.2, 0.5))
    scene = Scene(
        grid, tinted(mask, 1 + 0.04 * fractal(rng, grid, 40)), np.ones(grid.shape, np.float32)
    )
    for _ in range(int(rng.integers(6, 12))):
        scene.add(mask * np.float32(1.5), g.matte(_track(rng, g)))
    metal, dark = steel(rng, (0.7, 0.95)), colour(rng, saturation=(0, 0.1), value=(0.08, 0.25))
    for row in range(-2, 3):
        for col in range(-2, 3):
            if rng.random() < 0.75:
                at = (col * 44 + float(rng.uniform(-5, 5)), row * 44 + float(rng.uniform(-5, 5)))
                _component(rng, scene, g.moved(float(rng.integers(4)) * PI / 2, *at), (metal, dark))
    return scene


def _track(rng: Generator, g: Grid) -> Field:
    """A copper track: a straight run with one 45 degree bend."""
    x, y = float(rng.uniform(-110, 110)), float(rng.uniform(-110, 110))
    run, bend, width = (
        float(rng.uniform(30, 160)),
        float(rng.uniform(-40, 40)),
        float(rng.uniform(2, 4.5)),
    )
    straight = stroke(g, (x, y, x + run, y), width)
    return np.maximum(straight, stroke(g, (x + run, y, x + run + abs(bend), y + bend), width))


def _component(rng: Generator, scene: Scene, g: Grid, colours: tuple[Colour, Colour]) -> None:
    """A chip with legs, a two-ended part, a round can or a bare pad at the grid's origin."""
    metal, dark = colours
    kind = int(rng.integers(4))
    if kind == 0:
        legs = np.minimum(box(g, (17, 12)), 1.6 - np.abs(g.x - np.round(g.x / 6) * 6))
        scene.add(metal, g.matte(legs))
        chip = box(g, (16, 8), 1)
        scene.add(solid(rng, scene, chip, dark, 2), g.matte(chip))
    elif kind == 1:
        scene.add(metal, g.matte(box(g, (12, 5), 1)))
        body = box(g, (7.5, 5), 0.5)
        scene.add(solid(rng, scene, body, colour(rng, value=(0.1, 0.8)), 2), g.matte(body))
    elif kind == 2:
        can = disc(g, float(rng.uniform(8, 14)))
        scene.add(solid(rng, scene, can, steel(rng), 4), g.matte(can))
    else:
        pad = np.minimum(disc(g, 7), -disc(g, 3))
        scene.add(metal, g.matte(pad))
        scene.add(dark * np.float32(0.4), g.matte(disc(g, 3)))
