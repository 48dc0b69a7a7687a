"""Where a pixel lies, in units that do not depend on the picture's size, and the shapes drawn there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

SHORT_SIDE = 224.0
"""Units along the shorter side of every picture: at 224 px a unit is a pixel."""

Number = float | int
"""The run-time type check of the tests takes no int where only float is named."""

Field = Float32[ndarray, "height width"]


@dataclass(frozen=True, slots=True)
class Grid:
    """Coordinates of every pixel centre; the origin is the middle of the picture, y points down.

    `pixel` is the size of one pixel in units.
    """

    x: Field
    y: Field
    pixel: float

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.x.shape[0], self.x.shape[1]

    def moved(self, angle: Number, cx: Number = 0.0, cy: Number = 0.0, scale: Number = 1.0) -> Grid:
        """The grid seen by something that lies at (cx, cy), turned by `angle` and `scale` times as large."""
        c, s = np.float32(np.cos(angle) / scale), np.float32(np.sin(angle) / scale)
        dx, dy = self.x - np.float32(cx), self.y - np.float32(cy)
        return Grid(c * dx + s * dy, c * dy - s * dx, self.pixel / scale)

    def matte(self, inside: Field) -> Field:
        """Coverage in [0, 1] of a shape, anti-aliased, from its signed distance (positive inside)."""
        return np.clip(inside / np.float32(self.pixel) + np.float32(0.5), 0, 1)


def grid_of(height: int, width: int) -> Grid:
    """The grid of a picture; its shorter side is 224 units long."""
    pixel = SHORT_SIDE / min(height, width)
    x = ((np.arange(width, dtype=np.float32) + 0.5) - width / 2) * np.float32(pixel)
    y = ((np.arange(height, dtype=np.float32) + 0.5) - height / 2) * np.float32(pixel)
    xs, ys = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return Grid(xs, ys, pixel)


def disc(g: Grid, radius: Number, cx: Number = 0.0, cy: Number = 0.0) -> Field:
    """Signed distance to a circle."""
    return np.float32(radius) - np.hypot(g.x - np.float32(cx), g.y - np.float32(cy))


def ring(g: Grid, radius: Number, width: Number) -> Field:
    """Signed distance to the band of `width` around a circle."""
    return np.float32(width / 2) - np.abs(np.hypot(g.x, g.y) - np.float32(radius))


def box(
    g: Grid, half: tuple[Number, Number], corner: Number = 0.0, at: tuple[Number, Number] = (0, 0)
) -> Field:
    """Signed distance to a rectangle of half sizes (x, y) with rounded corners."""
    qx = np.abs(g.x - np.float32(at[0])) - np.float32(half[0] - corner)
    qy = np.abs(g.y - np.float32(at[1])) - np.float32(half[1] - corner)
    outer = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0))
    return np.float32(corner) - outer - np.minimum(np.maximum(qx, qy), 0)


def polygon(g: Grid, sides: int, radius: Number) -> Field:
    """Signed distance to the sides of a regular polygon; `radius` is its inner circle's."""
    sector = np.float32(2 * np.pi / sides)
    angle = np.arctan2(g.y, g.x)
    angle = angle - sector * np.round(angle / sector)
    return np.float32(radius) - np.hypot(g.x, g.y) * np.cos(angle)


def stroke(g: Grid, ends: tuple[Number, Number, Number, Number], width: Number) -> Field:
    """Signed distance to a straight stroke (x0, y0, x1, y1) with round ends."""
    x0, y0, x1, y1 = (np.float32(end) for end in ends)
    dx, dy = x1 - x0, y1 - y0
    length = np.float32(max(float(dx * dx + dy * dy), 1e-6))
    t = np.clip(((g.x - x0) * dx + (g.y - y0) * dy) / length, 0, 1)
    return np.float32(width / 2) - np.hypot(g.x - x0 - t * dx, g.y - y0 - t * dy)


def hexagons(g: Grid, pitch: Number) -> tuple[Field, Field, Field]:
    """The hexagonal lattice of `pitch`: signed distance to the cell's border, and the cell's centre (x, y)."""
    rows = np.float32(pitch * np.sqrt(3))
    p = np.float32(pitch)
    ax, ay = np.round(g.x / p) * p, np.round(g.y / rows) * rows
    bx = (np.floor(g.x / p) + np.float32(0.5)) * p
    by = (np.floor(g.y / rows) + np.float32(0.5)) * rows
    nearer = np.hypot(g.x - ax, g.y - ay) < np.hypot(g.x - bx, g.y - by)
    cx, cy = np.where(nearer, ax, bx), np.where(nearer, ay, by)
    dx, dy = np.abs(g.x - cx), np.abs(g.y - cy)
    reach = np.maximum(dx, np.float32(0.5) * dx + np.float32(np.sqrt(0.75)) * dy)
    return np.float32(pitch / 2) - reach, cx, cy
