"""Drawn parts on disk, in MVTec AD's layout: what trains, evaluates and calibrates on folders can use them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from vipx.training.data.procedural.part import Part


def write_parts(root: Path, parts: Iterable[Part], split: Literal["train", "test"]) -> None:
    """Write parts below `root`: CATEGORY/SPLIT/KIND/NUMBER.png, and CATEGORY/ground_truth for defects.

    Numbers count the parts of a category.
    """
    counts: dict[str, int] = {}
    for part in parts:
        number = counts.get(part.category, 0)
        counts[part.category] = number + 1
        folder, kind = root / part.category, part.defect or "good"
        _save(part.image, folder / split / kind / f"{number:03}.png")
        if part.defect:
            mask = part.mask.astype(np.uint8) * 255
            _save(mask, folder / "ground_truth" / kind / f"{number:03}_mask.png")


def _save(pixels: UInt8[ndarray, "..."], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
