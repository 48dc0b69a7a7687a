"""Folders of pictures to take ranges from, and bundles that have none to give."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy import ndarray
from PIL import Image

from vipx.bundle import MANIFEST, file_records, seal
from vipx.manifest import Manifest


def written(folder: Path, images: Sequence[ndarray]) -> Path:
    """Write pictures as 00.png and so on."""
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:02}.png")
    return folder


def turned(images: Sequence[ndarray]) -> list[ndarray]:
    """Turn each square picture four ways."""
    return [np.ascontiguousarray(np.rot90(image, turns)) for image in images for turns in range(4)]


def without_float32(bundle: Path, path: Path) -> Path:
    """Copy a bundle without its float32 encoder."""
    shutil.copytree(bundle, path, ignore=shutil.ignore_patterns("encoder.onnx"))
    manifest = Manifest.model_validate_json((path / MANIFEST).read_bytes())
    encoders = tuple(each for each in manifest.graphs.encoders if each.precision != "fp32")
    graphs = manifest.graphs.model_copy(update={"encoders": encoders})
    seal(path, manifest.model_copy(update={"graphs": graphs, "files": file_records(path)}))
    return path
