"""Batches from the pool: random crops, turns, colours and exposures, so that no picture comes twice."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from numpy.random import Generator
from torch import Tensor

from vipx.training.data.procedural import SEEN
from vipx.training.demo.plan import PARTS
from vipx.training.demo.pool import Pool

SHOWS = 0.2
"""Share of a coarse pixel from which on it counts as anomalous: a thin scratch must not get lost."""

MASK_SHRINK = 2
"""Masks are learned at half the input's size: patches tell no more, and it saves work."""


@dataclass(frozen=True, slots=True)
class View:
    """How pictures are shown: squares of at least `share` of their side, scaled to `side` px."""

    side: int
    share: float


@dataclass(frozen=True, slots=True)
class Batch:
    """RGB bytes, defect masks (1 / MASK_SHRINK of the images' size) and labels (1 is anomalous)."""

    images: UInt8[Tensor, "batch height width 3"]
    masks: Bool[Tensor, "batch mask_height mask_width"]
    labels: Int[Tensor, "batch"]


def ahead(
    pool: Pool,
    size: int,
    parts: Sequence[float],
    rng: Generator,
    view: View,
) -> Iterator[Batch]:
    """Give a batch for each share of parts, made by a thread of its own while the one before is learned."""
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(random_batch, pool, size, rng, view, parts[0])
        for following in parts[1:]:
            batch = coming.result()
            coming = maker.submit(random_batch, pool, size, rng, view, following)
            yield batch
        yield coming.result()


def random_batch(
    pool: Pool, size: int, rng: Generator, view: View, parts: float | None = None
) -> Batch:
    """Draw `size` pictures at random and change each in many ways that keep what is a defect.

    `parts` is the chance of a picture to show a part; None takes the pool as it is.
    """
    chosen = _chosen(len(pool.images), size, rng, parts)
    drawn = pool.masks.shape[1]
    zoom = int(rng.integers(round(drawn * view.share), drawn + 1))
    pairs = [_cropped(pool, int(number), zoom, rng) for number in chosen]
    pixels = torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2).float()
    covered = torch.from_numpy(np.stack([mask for _, mask in pairs])).float()[:, None]
    size_out = (view.side, view.side)
    pixels = F.interpolate(pixels, size_out, mode="bilinear", align_corners=False, antialias=True)
    pixels = _recoloured(pixels / 255, rng)
    small = view.side // MASK_SHRINK
    masks = F.adaptive_avg_pool2d(covered, (small, small))[:, 0] > SHOWS
    labels = masks.flatten(1).any(dim=1).long()
    images = (pixels * 255 + 0.5).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    return Batch(images, masks, labels)


def _chosen(
    count: int, size: int, rng: Generator, parts: float | None
) -> Int[np.ndarray, "pictures"]:
    """Numbers of pictures; a picture's category follows from its number (pool.py)."""
    if parts is None:
        return rng.integers(count, size=size)
    numbers = np.arange(count)
    shows_part = np.isin(np.array(SEEN)[numbers % len(SEEN)], PARTS)
    wanted = rng.random(size) < parts
    return np.where(
        wanted, rng.choice(numbers[shows_part], size), rng.choice(numbers[~shows_part], size)
    )


def _cropped(
    pool: Pool, number: int, zoom: int, rng: Generator
) -> tuple[UInt8[np.ndarray, "zoom zoom 3"], Bool[np.ndarray, "zoom zoom"]]:
    """A square crop, mirrored and turned by right angles."""
    height, width = pool.masks.shape[1:]
    row, col = int(rng.integers(height - zoom + 1)), int(rng.integers(width - zoom + 1))
    window = (number, slice(row, row + zoom), slice(col, col + zoom))
    image, mask = pool.images[window], pool.masks[window]
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    image, mask = np.rot90(image, turns), np.rot90(mask, turns)
    if mirrored:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return np.ascontiguousarray(image), np.ascontiguousarray(mask)


def _recoloured(
    pixels: Float[Tensor, "batch 3 height width"], rng: Generator
) -> Float[Tensor, "batch 3 height width"]:
    """Mix the channels anew (often to grey), then change exposure and contrast."""
    mixes = torch.from_numpy(np.stack([_mix(rng) for _ in range(len(pixels))]))
    flat = torch.bmm(mixes, pixels.flatten(2)).unflatten(2, pixels.shape[2:])
    gain = torch.from_numpy(rng.uniform(0.7, 1.3, (len(pixels), 1, 1, 1)).astype(np.float32))
    lift = torch.from_numpy(rng.uniform(-0.1, 0.1, (len(pixels), 1, 1, 1)).astype(np.float32))
    return ((flat - 0.5) * gain + 0.5 + lift).clamp(0, 1)


def _mix(rng: Generator) -> Float[np.ndarray, "3 3"]:
    """Rows of weights that sum to one: a permutation of the channels, part of the way to grey."""
    mix = np.eye(3, dtype=np.float32)[rng.permutation(3)]
    grey = 1.0 if rng.random() < 0.2 else float(rng.uniform(0, 0.6))
    return ((1 - grey) * mix + grey / 3).astype(np.float32)
