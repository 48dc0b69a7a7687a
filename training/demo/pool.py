"""The pool: pictures of the seen categories, drawn once and kept in two memory-mapped files."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray
from numpy.lib.format import open_memmap

from vipx.training.data.procedural import SEEN, draw_part
from vipx.training.demo.plan import DemoPlan

IMAGES, MASKS = "images.npy", "masks.npy"


@dataclass(frozen=True, slots=True)
class Pool:
    """Drawn pictures and the masks of their defects; a good picture's mask is empty."""

    images: UInt8[ndarray, "pictures height width 3"]
    masks: Bool[ndarray, "pictures height width"]


def drawn_pool(folder: Path, plan: DemoPlan) -> Pool:
    """Draw the pool into a folder, in several processes; every picture follows from its number."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (plan.drawn, plan.drawn_side, plan.drawn_side)
    open_memmap(folder / IMAGES, "w+", np.uint8, (*shape, 3)).flush()
    open_memmap(folder / MASKS, "w+", np.bool_, shape).flush()
    jobs = [(folder, plan, start) for start in range(plan.workers)]
    if plan.workers == 1:
        _draw(*jobs[0])
    else:
        # A forked child would inherit torch's locked thread pool.
        with ProcessPoolExecutor(plan.workers, get_context("spawn")) as pool:
            list(pool.map(_draw, *zip(*jobs, strict=True)))
    return opened_pool(folder)


def opened_pool(folder: Path) -> Pool:
    """Open a pool that was drawn before."""
    return Pool(np.load(folder / IMAGES, mmap_mode="r"), np.load(folder / MASKS, mmap_mode="r"))


def _draw(folder: Path, plan: DemoPlan, start: int) -> None:
    """Draw every `workers`-th picture from `start` on; the categories take turns."""
    images = np.load(folder / IMAGES, mmap_mode="r+")
    masks = np.load(folder / MASKS, mmap_mode="r+")
    for number in range(start, plan.drawn, plan.workers):
        turn, kind = divmod(number, len(SEEN))
        side = plan.drawn_side
        defect = "random" if turn % 3 else None
        part = draw_part(SEEN[kind], plan.seed + turn, height=side, width=side, defect=defect)
        images[number], masks[number] = part.image, part.mask
