"""What an evaluation found, as a record that later versions and other programs can read."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, ValidationError

from vipx.errors import InputError
from vipx.manifest import Record, Sha256, first_fault

RESULTS = "results.json"
CATEGORIES_CSV = "results.csv"
IMAGES_CSV = "images.csv"

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=0)]


class MetricsRecord(Record):
    """The six metrics in [0, 1]; None where the images leave one undefined."""

    image_auroc: Share | None
    image_ap: Share | None
    image_f1: Share | None
    pixel_auroc: Share | None
    pixel_f1: Share | None
    aupro: Share | None


METRICS = tuple(MetricsRecord.model_fields)


class DefinedRecord(Record):
    """In how many categories each metric is defined."""

    image_auroc: Count
    image_ap: Count
    image_f1: Count
    pixel_auroc: Count
    pixel_f1: Count
    aupro: Count


class CategoryRecord(Record):
    """One category: how many pictures of each kind, and how many whose pixel truth is known."""

    category: str
    good: Count
    anomalous: Count
    masked: Count
    metrics: MetricsRecord


class MeanRecord(Record):
    """The arithmetic mean over the categories in which a metric is defined."""

    metrics: MetricsRecord
    defined: DefinedRecord


class ImageRecord(Record):
    """The score of one picture; `image` is its path below the root, `defect` None for a good one."""

    category: str
    image: str
    defect: str | None
    score: float


class ModelRecord(Record):
    """What was evaluated.

    Attributes:
        kind: A checkpoint runs in PyTorch, a bundle in an engine.
        path: As given by the user.
        sha256: Of the bundle's manifest, or of the checkpoint's parameters.
        method: The method's name.
        backbone: Name of the CLIP.
        backbone_sha256: Hash of its parameters.
        engine: What computed.
        device: Where.
        precision: Of the encoder.
        height: Of the model's input, in px.
        width: Of the model's input, in px.
    """

    kind: Literal["bundle", "checkpoint"]
    path: str
    sha256: Sha256
    method: str
    backbone: str
    backbone_sha256: Sha256
    engine: str
    device: str
    precision: str
    height: int
    width: int


class DataRecord(Record):
    """What it was evaluated on.

    Attributes:
        dataset: The layout's name, or `procedural` for drawn parts.
        root: Folder of the dataset; None for drawn parts.
        split: The publisher's split.
        limit: Most pictures of a category, if the user set one; they are spread evenly.
        seed: First seed of drawn parts, if the user set one.
        left_out: Files of the dataset that cannot be used.
    """

    dataset: str
    root: str | None
    split: str
    limit: int | None
    seed: int | None = None
    left_out: Count


class Results(Record):
    """A whole evaluation."""

    schema_version: Literal[1] = 1
    kind: Literal["vipx-evaluation"] = "vipx-evaluation"
    vipx_version: str
    created: str
    model: ModelRecord
    data: DataRecord
    aupro_mode: Literal["official", "exact"]
    categories: Annotated[tuple[CategoryRecord, ...], Field(min_length=1)]
    mean: MeanRecord
    median_milliseconds: float
    images: tuple[ImageRecord, ...]


def mean_of(categories: Iterable[CategoryRecord]) -> MeanRecord:
    """Average every metric over the categories in which it is defined."""
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    for category in categories:
        for name in METRICS:
            value = getattr(category.metrics, name)
            if value is not None:
                values[name].append(value)
    means = {name: float(np.mean(found)) if found else None for name, found in values.items()}
    defined = {name: len(found) for name, found in values.items()}
    return MeanRecord(metrics=MetricsRecord(**means), defined=DefinedRecord(**defined))


def read_results(path: Path) -> Results:
    """Read `results.json`, or the folder that holds it.

    Raises:
        InputError: There is no such file, or it is not a record that this vipx understands.
    """
    file = path / RESULTS if path.is_dir() else path
    try:
        return Results.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check the path") from error
    except ValidationError as error:
        raise InputError(
            f"{file}: not results that this vipx understands: {first_fault(error)}; "
            "`vipx eval --out` writes them"
        ) from error


def write_results(folder: Path, results: Results) -> None:
    """Write `results.json`, `results.csv` (a row for each category, and the mean) and `images.csv`."""
    text = results.model_dump_json(indent=2) + "\n"
    (folder / RESULTS).write_text(text, encoding="utf-8")
    rows = [
        [c.category, c.good, c.anomalous, c.masked, *_cells(c.metrics)] for c in results.categories
    ]
    totals = [sum(column) for column in zip(*(row[1:4] for row in rows), strict=True)]
    rows.append(["mean", *totals, *_cells(results.mean.metrics)])
    header = ["category", "good", "anomalous", "masked", *METRICS]
    (folder / CATEGORIES_CSV).write_text(_csv(header, rows), encoding="utf-8", newline="")
    images = [[i.category, i.image, i.defect or "", repr(i.score)] for i in results.images]
    header = ["category", "image", "defect", "score"]
    (folder / IMAGES_CSV).write_text(_csv(header, images), encoding="utf-8", newline="")


def _cells(metrics: MetricsRecord) -> list[str]:
    """Give figures in full; an undefined one is an empty cell."""
    values = (getattr(metrics, name) for name in METRICS)
    return ["" if value is None else repr(value) for value in values]


def _csv(header: list[str], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
