"""Metal surfaces: brushed, cast, meshed, folded, perforated, embossed."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from vipx.training.data.procedural.grid import Field, Grid, hexagons
from vipx.training.data.procedural.noise import (
    bevel,
    blend,
    clouds,
    colour,
    fractal,
    slope,
    speckle,
    steel,
    tinted,
)
from vipx.training.data.procedural.scene import Scene, texture

PI = float(np.pi)


def brushed_metal(rng: Generator, grid: Grid) -> Scene:
    """Parallel hairlines along one side, under a broad reflection."""
    upright = bool(rng.random() < 0.5)
    long, fine = float(rng.uniform(40, 160)), float(rng.uniform(1, 2.5))
    lines = clouds(rng, grid, (fine, long) if upright else (long, fine))
    across = grid.x if upright else grid.y
    gleam = np.cos(across / float(rng.uniform(30, 110)) + float(rng.uniform(0, 6)))
    shade = 0.9 + float(rng.uniform(0.03, 0.12)) * lines + 0.1 * gleam + 0.02 * speckle(rng, grid)
    return texture(grid, tinted(steel(rng), shade), grain=PI / 2 if upright else 0.0)


def cast_metal(rng: Generator, grid: Grid) -> Scene:
    """Rough sand-cast skin."""
    size = float(rng.uniform(6, 16))
    relief = fractal(rng, grid, size, 3, 0.6)
    light = slope(relief, float(rng.uniform(-PI, PI)), grid) * size
    shade = 0.9 + float(rng.uniform(0.04, 0.1)) * light + 0.05 * clouds(rng, grid, 60)
    shade += float(rng.uniform(0.02, 0.06)) * speckle(rng, grid)
    return texture(grid, tinted(steel(rng, (0.25, 0.65)), shade))


def _wire(distance: Field, radius: float) -> Field:
    """The round shade of a wire at this distance from its axis."""
    return np.sqrt(np.clip(1 - (distance / np.float32(radius)) ** 2, 0, 1))


def wire_mesh(rng: Generator, grid: Grid) -> Scene:
    """Crossing wires over a dark or bright ground."""
    angle, pitch = float(rng.uniform(-PI, PI)), float(rng.uniform(14, 30))
    g = grid.moved(angle)
    bent = clouds(rng, grid, 70) * 0.5
    radius = pitch * float(rng.uniform(0.13, 0.26))
    u, v = (g.x + bent) / pitch, (g.y + bent) / pitch
    away_x, away_y = np.abs(u - np.round(u)) * pitch, np.abs(v - np.round(v)) * pitch
    ground_value = (0.03, 0.2) if rng.random() < 0.6 else (0.6, 0.95)
    ground = colour(rng, saturation=(0, 0.3), value=ground_value)
    image = tinted(ground, 1 + 0.05 * fractal(rng, grid, 40))
    metal = steel(rng)
    for away in (away_x, away_y):
        wire = tinted(metal, 0.25 + 0.75 * _wire(away, radius))
        image = blend(image, wire, g.matte((radius - away).astype(np.float32)))
    lifted = g.matte((radius - away_x).astype(np.float32)) * ((np.round(u) + np.round(v)) % 2)
    image = blend(image, tinted(metal, 0.25 + 0.75 * _wire(away_x, radius)), lifted)
    return texture(grid, image, grain=angle)


def corrugated_sheet(rng: Generator, grid: Grid) -> Scene:
    """Parallel folds or ribs, lit from one side."""
    angle, pitch = float(rng.uniform(-PI, PI)), float(rng.uniform(12, 40))
    g = grid.moved(angle)
    phase = 2 * PI * g.y / pitch
    fold = np.sin(phase)
    if rng.random() < 0.5:
        fold = np.clip(fold * float(rng.uniform(1.5, 4)), -1, 1)
    light = np.cos(phase) * float(rng.uniform(0.1, 0.3)) + fold * float(rng.uniform(0.05, 0.2))
    shade = 0.8 + light + 0.03 * fractal(rng, grid, 50) + 0.02 * speckle(rng, grid)
    base = steel(rng) if rng.random() < 0.6 else colour(rng)
    return texture(grid, tinted(base, shade.astype(np.float32)), grain=angle)


def perforated_sheet(rng: Generator, grid: Grid) -> Scene:
    """Round or square holes in a regular grid."""
    g = grid.moved(float(rng.uniform(-PI, PI)))
    pitch = float(rng.uniform(16, 34))
    shift = np.round(g.y / pitch) % 2 * (pitch / 2 if rng.random() < 0.6 else 0.0)
    u = (g.x - shift) - np.round((g.x - shift) / pitch) * pitch
    v = g.y - np.round(g.y / pitch) * pitch
    reach = np.hypot(u, v) if rng.random() < 0.7 else np.maximum(np.abs(u), np.abs(v))
    inside = (reach - pitch * float(rng.uniform(0.2, 0.36))).astype(np.float32)
    shade = 0.92 + slope(bevel(inside, 2.5), float(rng.uniform(-PI, PI)), grid) * 0.4
    shade += 0.04 * fractal(rng, grid, 40) + 0.02 * speckle(rng, grid)
    behind = tinted(colour(rng, value=(0.02, 0.35)), 1 + 0.1 * clouds(rng, grid, 60))
    return texture(grid, blend(behind, tinted(steel(rng), shade), g.matte(inside)))


def honeycomb(rng: Generator, grid: Grid) -> Scene:
    """Deep hexagonal cells between thin walls."""
    g = grid.moved(float(rng.uniform(-PI, PI)))
    pitch = float(rng.uniform(20, 36))
    bent = clouds(rng, grid, 80) * 0.8
    inside, _, _ = hexagons(Grid(g.x + bent, g.y + bent, g.pixel), pitch)
    wall = float(rng.uniform(1.5, 3.5))
    depth = np.clip((inside - wall / 2) / (pitch * 0.4), 0, 1)
    cell = tinted(colour(rng, saturation=(0, 0.5), value=(0.2, 0.6)), 0.95 - 0.6 * depth)
    shade = 1 + slope(bevel(inside, wall), float(rng.uniform(-PI, PI)), grid) * 0.25
    shade += 0.03 * speckle(rng, grid)
    walls = tinted(colour(rng, saturation=(0, 0.5), value=(0.6, 0.95)), shade)
    return texture(grid, blend(walls, cell, g.matte((inside - wall / 2).astype(np.float32))))


def checker_plate(rng: Generator, grid: Grid) -> Scene:
    """Raised lens-shaped bars in alternating directions on a steel plate."""
    g = grid.moved(float(rng.uniform(-PI, PI)))
    pitch = float(rng.uniform(24, 40))
    col, row = np.round(g.x / pitch), np.round(g.y / pitch)
    x, y = g.x - col * pitch, g.y - row * pitch
    turn = (col + row) % 2 < 0.5
    u, v = np.where(turn, x + y, x - y) * 0.7071, np.where(turn, x - y, x + y) * 0.7071
    half = pitch * float(rng.uniform(0.42, 0.52))
    lens = (half * 0.3 * (1 - (u / half) ** 2) - np.abs(v)).astype(np.float32)
    light = slope(bevel(lens, half * 0.25), float(rng.uniform(-PI, PI)), grid)
    shade = 0.8 + 0.12 * g.matte(lens) + light * float(rng.uniform(0.6, 1.2))
    shade += 0.04 * fractal(rng, grid, 40) + 0.03 * speckle(rng, grid)
    return texture(grid, tinted(steel(rng, (0.4, 0.75)), shade))
