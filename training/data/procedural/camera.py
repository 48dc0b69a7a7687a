"""The camera: light that falls off, a lens that blurs a little, a sensor that adds noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from numpy.random import Generator

from vipx.training.data.procedural.grid import Field, Grid
from vipx.training.data.procedural.noise import Colour, Picture

PI = float(np.pi)


@dataclass(frozen=True, slots=True)
class Camera:
    """One exposure; the same camera shows a part with and without its defect."""

    light: Field
    balance: Colour
    gamma: float
    blur: float
    grain: Picture

    def exposed(self, picture: Picture) -> UInt8[ndarray, "height width 3"]:
        """The 8-bit RGB image of a drawn picture."""
        image = np.clip(_blurred(picture, self.blur) * self.light[..., None] * self.balance, 0, 1)
        if self.gamma != 1.0:
            image = image ** np.float32(self.gamma)
        image = (image + self.grain) * 255 + 0.5
        return np.clip(image, 0, 255).astype(np.uint8)


def camera_for(rng: Generator, grid: Grid) -> Camera:
    """A random exposure of this grid."""
    g = grid.moved(float(rng.uniform(-PI, PI)))
    light = 1 + g.x * (float(rng.uniform(0, 0.25)) / 112)
    if rng.random() < 0.4:
        far = (grid.x / 160) ** 2 + (grid.y / 160) ** 2
        light = light * (1 - float(rng.uniform(0, 0.25)) * far)
    noise = float(rng.uniform(0.002, 0.018))
    single = rng.random() < 0.5
    grain = rng.standard_normal((*grid.shape, 1 if single else 3), dtype=np.float32) * noise
    return Camera(
        light=(light * float(rng.uniform(0.8, 1.12))).astype(np.float32),
        balance=(1 + rng.uniform(-0.05, 0.05, 3)).astype(np.float32),
        gamma=float(rng.uniform(0.85, 1.2)) if rng.random() < 0.3 else 1.0,
        blur=float(rng.uniform(0, 0.28)),
        grain=np.broadcast_to(grain, (*grid.shape, 3)),
    )


def _blurred(image: Picture, side: float) -> Picture:
    """Three taps along each axis: (side, 1 - 2 side, side); the border pixels keep to one axis."""
    out = image * np.float32(1 - 2 * side)
    out[1:-1] += np.float32(side) * (image[2:] + image[:-2])
    out[[0, -1]] = image[[0, -1]]
    twice = out * np.float32(1 - 2 * side)
    twice[:, 1:-1] += np.float32(side) * (out[:, 2:] + out[:, :-2])
    twice[:, [0, -1]] = out[:, [0, -1]]
    return twice
