"""Where defects lie: random outlines, random lines, and a colour that stands out."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from vipx.training.data.procedural.grid import Field, Grid, Number, stroke
from vipx.training.data.procedural.noise import Colour, Picture, clouds, colour
from vipx.training.data.procedural.scene import Scene, spot

PI = float(np.pi)


def placed(rng: Generator, scene: Scene) -> Grid:
    """The grid around a random place on the part, turned at random."""
    x, y = spot(rng, scene)
    return scene.grid.moved(float(rng.uniform(-PI, PI)), x, y)


def blob(
    rng: Generator, scene: Scene, radius: tuple[Number, Number], rough: Number = 0.35
) -> Field:
    """Signed distance to an irregular patch somewhere on the part; its size is drawn from `radius`."""
    g = placed(rng, scene)
    size = float(rng.uniform(*radius))
    long = float(rng.uniform(1.0, 1.8))
    reach = np.hypot(g.x / long, g.y * long)
    bumps = clouds(rng, scene.grid, max(size, 5.0)) * (rough * size)
    # Without the clip a far bump would draw a second patch anywhere in the picture.
    return (size - reach + np.clip(bumps, -0.7 * size, 0.7 * size)).astype(np.float32)


def wander(
    rng: Generator, scene: Scene, length: Number, bend: Number, pieces: int = 9
) -> list[Grid]:
    """The joints of a wandering line, each a grid whose x axis runs along the next piece."""
    x, y = spot(rng, scene)
    angle, step = float(rng.uniform(-PI, PI)), length / pieces
    x, y = x - np.cos(angle) * length / 2, y - np.sin(angle) * length / 2
    joints = []
    for _ in range(pieces):
        joints.append(scene.grid.moved(angle, float(x), float(y)))
        x, y = x + np.cos(angle) * step, y + np.sin(angle) * step
        angle += float(rng.normal(0, bend))
    return joints


def line(joints: list[Grid], length: Number, width: Number) -> Field:
    """Signed distance to the wandering line; it thins out towards both ends."""
    step, count = length / len(joints), len(joints)
    inside = np.full(joints[0].shape, -1e3, np.float32)
    for number, g in enumerate(joints):
        taper = 0.55 + 0.45 * float(np.sin(PI * (number + 0.5) / count))
        inside = np.maximum(inside, stroke(g, (0, 0, step, 0), width * taper))
    return inside


def standing_out(rng: Generator, image: Picture, alpha: Field) -> Colour:
    """A random colour that differs clearly from what `alpha` covers."""
    weight = float(alpha.sum()) + 1e-6
    here = (image * alpha[..., None]).sum((0, 1)) / np.float32(weight)
    tries = [colour(rng, value=(0.05, 1.0)) for _ in range(6)]
    far = [float(np.abs(one - here).max()) for one in tries]
    good = [one for one, away in zip(tries, far, strict=True) if away > 0.3]
    return good[0] if good else tries[int(np.argmax(far))]


def darker_or_brighter(rng: Generator, image: Picture, alpha: Field) -> float:
    """A factor for brightness that shows here: dark surfaces mostly brighten, bright ones darken."""
    weight = float(alpha.sum()) + 1e-6
    here = float((image.mean(2) * alpha).sum()) / weight
    if here < 0.3 or (here < 0.6 and rng.random() < 0.4):
        return float(rng.uniform(1.5, 2.2))
    return float(rng.uniform(0.3, 0.68))
