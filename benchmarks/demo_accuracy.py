"""Measures a bundle on drawn categories that its training never saw, and on folders in MVTec's layout.

    python benchmarks/demo_accuracy.py demo.vipx
    python benchmarks/demo_accuracy.py demo.vipx --root DIR --mvtec-layout --json

Every figure is computed at the model's input size. AUPRO is the published 200-step variant; the exact one
stands beside it. `-` is a metric that the images leave undefined.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import click
import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

from vipx.errors import InputError, VipxError
from vipx.images import read_image, read_mask, resize_mask
from vipx.runtime import Inspector
from vipx.training.data.procedural import UNSEEN, draw_part
from vipx.training.metrics import Metrics, measured

FIRST_SEED = 1_000_000
DRAWN_SIDE = 160  # as training draws them; the inspector resizes
SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture with the mask of its anomalous pixels, at its own size."""

    image: UInt8[ndarray, "height width 3"]
    mask: Bool[ndarray, "height width"]
    anomalous: bool


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one category."""

    category: str
    good: int
    anomalous: int
    metrics: Metrics


def drawn_samples(category: str, each: int, size: tuple[int, int]) -> Iterator[Sample]:
    """Draw `each` good and `each` defective parts from fixed seeds."""
    height, width = size
    for number in range(2 * each):
        part = draw_part(
            category,
            FIRST_SEED + number,
            height=height,
            width=width,
            defect="random" if number % 2 else None,
        )
        yield Sample(part.image, part.mask, part.defect is not None)


def folder_samples(category: Path) -> Iterator[Sample]:
    """Read `test/KIND/NAME.*` with `ground_truth/KIND/NAME_mask.png`; the kind `good` has no masks."""
    for path in sorted((category / "test").glob("*/*")):
        if path.suffix.lower() not in SUFFIXES:
            continue
        image, kind = read_image(path), path.parent.name
        mask = np.zeros(image.shape[:2], np.bool_)
        if kind != "good":
            mask = _mask(category / "ground_truth" / kind / f"{path.stem}_mask.png")
        yield Sample(image, mask, kind != "good")


def _mask(path: Path) -> Bool[ndarray, "height width"]:
    if not path.is_file():
        raise InputError(f"{path}: missing; every anomalous picture needs its mask")
    return read_mask(path)


def measure(inspector: Inspector, category: str, samples: Iterable[Sample]) -> Row:
    """Run the bundle on all samples of one category."""
    height, width = inspector.size
    labels, scores, masks, maps = [], [], [], []
    for sample in samples:
        result = inspector.inspect(sample.image)
        labels.append(sample.anomalous)
        scores.append(result.score)
        maps.append(result.anomaly_map)
        masks.append(resize_mask(sample.mask, height=height, width=width))
    if not labels:
        raise InputError(f"{category}: no pictures; expected test/KIND/NAME.png")
    figures = measured(np.array(labels), np.array(scores), np.stack(masks), np.stack(maps))
    return Row(category, labels.count(False), labels.count(True), figures)


def mean_row(rows: list[Row]) -> Row:
    """Give the mean over categories of every metric that is defined."""
    means: dict[str, float | None] = {}
    for field in fields(Metrics):
        values = [value for row in rows if (value := getattr(row.metrics, field.name)) is not None]
        means[field.name] = float(np.mean(values)) if values else None
    good, anomalous = sum(row.good for row in rows), sum(row.anomalous for row in rows)
    return Row("mean", good, anomalous, Metrics(**means))


def show(rows: list[Row]) -> None:
    """Print one line for each category."""
    names = [field.name for field in fields(Metrics)]
    print(f"{'category':<18}{'good':>6}{'bad':>6}" + "".join(f"{name:>14}" for name in names))
    for row in rows:
        cells = (getattr(row.metrics, name) for name in names)
        shown = "".join(f"{'-' if cell is None else format(cell, '.4f'):>14}" for cell in cells)
        print(f"{row.category:<18}{row.good:>6}{row.anomalous:>6}{shown}")


def categories_of(
    root: Path | None, each: int, size: tuple[int, int]
) -> dict[str, Iterator[Sample]]:
    """Name the categories to measure, each with its samples, which are made one at a time."""
    if root is None:
        return {category: drawn_samples(category, each, size) for category in UNSEEN}
    folders = sorted(folder for folder in root.iterdir() if (folder / "test").is_dir())
    if not folders:
        raise InputError(f"{root}: no category; expected {root}/CATEGORY/test/KIND/NAME.png")
    return {folder.name: folder_samples(folder) for folder in folders}


@click.command()
@click.argument("bundle", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--each", default=40, show_default=True, help="Good, and as many bad, parts a category."
)
@click.option(
    "--root", type=click.Path(exists=True, path_type=Path), help="Measure these folders instead."
)
@click.option(
    "--mvtec-layout", is_flag=True, help="Says that --root is laid out as MVTec AD; needed with it."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(bundle: Path, each: int, root: Path | None, mvtec_layout: bool, as_json: bool) -> None:
    """Print accuracy for each category and the mean over categories."""
    if (root is not None) != mvtec_layout:
        raise click.UsageError("--root and --mvtec-layout go together")
    try:
        with Inspector.open(bundle) as inspector:
            categories = categories_of(root, each, (DRAWN_SIDE, DRAWN_SIDE))
            rows = [measure(inspector, name, samples) for name, samples in categories.items()]
    except VipxError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    rows.append(mean_row(rows))
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        show(rows)


if __name__ == "__main__":
    main()
