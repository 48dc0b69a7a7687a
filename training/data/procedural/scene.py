"""A drawn picture before the camera: a ground, layers upon it, and which of them may be missing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from vipx.training.data.procedural.grid import Field, Grid, Number
from vipx.training.data.procedural.noise import Colour, Picture, blend


@dataclass(frozen=True, slots=True)
class Layer:
    """One thing laid upon the ground; `element` numbers the removable things, None stays for ever."""

    paint: Picture | Colour
    alpha: Field
    element: int | None = None


@dataclass(slots=True)
class Scene:
    """A ground with layers, the part's coverage and the directions a defect may follow.

    `matte` is the part's coverage (all ones for a texture), `backdrop` what shows where the part is broken
    off, `grain` the angle of threads or fibres, if there are any.
    """

    grid: Grid
    backdrop: Picture
    matte: Field
    layers: list[Layer] = field(default_factory=list)
    grain: float | None = None
    light: float = 0.0

    def add(self, paint: Picture | Colour, alpha: Field, element: int | None = None) -> None:
        """Lay one more thing upon the others."""
        self.layers.append(Layer(paint, alpha, element))

    @property
    def elements(self) -> tuple[int, ...]:
        """The things that may be missing."""
        return tuple(sorted({layer.element for layer in self.layers if layer.element is not None}))

    def picture(self, without: int | None = None) -> Picture:
        """All layers upon the ground, but for one removable thing."""
        image = self.backdrop
        for layer in self.layers:
            if without is None or layer.element != without:
                image = blend(image, layer.paint, layer.alpha)
        return image


def texture(grid: Grid, image: Picture, grain: Number | None = None) -> Scene:
    """A surface that fills the whole picture."""
    return Scene(grid, image, np.ones(grid.shape, np.float32), grain=grain)


def spot(rng: Generator, scene: Scene, margin: Number = 8.0) -> tuple[float, float]:
    """A random place on the part, `margin` units away from the picture's border, as (x, y)."""
    g = scene.grid
    rim = max(1, round(margin / g.pixel))
    inner = scene.matte[rim:-rim, rim:-rim] > np.float32(0.95)
    hits = np.flatnonzero(inner)
    if hits.size == 0:
        return 0.0, 0.0
    row, col = divmod(int(hits[rng.integers(hits.size)]), inner.shape[1])
    return float(g.x[row + rim, col + rim]), float(g.y[row + rim, col + rim])
