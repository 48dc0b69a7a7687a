"""Two evaluations side by side: what an export, a precision or another training changed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from pydantic import Field

from vipx import __version__
from vipx.errors import InputError
from vipx.evaluation.results import (
    METRICS,
    CategoryRecord,
    ImageRecord,
    MetricsRecord,
    Results,
    mean_of,
)
from vipx.manifest import Record, Sha256

__all__ = ["Comparison", "Paired", "compared", "paired"]

Difference = Annotated[float, Field(ge=-1.0, le=1.0)]


class DifferenceRecord(Record):
    """The second run's metrics minus the first's; None where either is undefined."""

    image_auroc: Difference | None
    image_ap: Difference | None
    image_f1: Difference | None
    pixel_auroc: Difference | None
    pixel_f1: Difference | None
    aupro: Difference | None


class ScoresRecord(Record):
    """How the scores of the same pictures differ.

    Attributes:
        images: Pictures in both runs.
        only_first: Pictures in the first run alone.
        only_second: Pictures in the second run alone.
        most: Largest absolute difference.
        mean: Mean absolute difference.
        rank_correlation: Spearman's; None where all scores of a run are equal.
    """

    images: int
    only_first: int
    only_second: int
    most: float
    mean: float
    rank_correlation: float | None


class ComparedCategory(Record):
    """One category that both runs have, with pictures in common."""

    category: str
    first: MetricsRecord
    second: MetricsRecord
    difference: DifferenceRecord
    scores: ScoresRecord


class ComparedImage(Record):
    """One picture's two scores."""

    category: str
    image: str
    defect: str | None
    first: float
    second: float


class Comparison(Record):
    """A whole comparison.

    Attributes:
        vipx_version: What compared.
        first_sha256: The first run's model.
        second_sha256: The second run's model.
        notes: Whatever makes the two runs less than comparable.
        means: Both runs' means over the categories that both have.
        mean: The difference of these means.
        categories: Those that both runs have.
        scores: Over all common pictures.
        images: All common pictures.
    """

    schema_version: Literal[1] = 1
    kind: Literal["vipx-comparison"] = "vipx-comparison"
    vipx_version: str
    first_sha256: Sha256
    second_sha256: Sha256
    notes: tuple[str, ...]
    means: tuple[MetricsRecord, MetricsRecord]
    mean: DifferenceRecord
    categories: tuple[ComparedCategory, ...]
    scores: ScoresRecord
    images: tuple[ComparedImage, ...]


@dataclass(frozen=True, slots=True)
class Paired:
    """The scores of the pictures that both runs have, in the first run's order."""

    images: tuple[ImageRecord, ...]
    first: Float[ndarray, "images"]
    second: Float[ndarray, "images"]
    only_first: int
    only_second: int

    @property
    def defective(self) -> Bool[ndarray, "images"]:
        """Which of the pictures show a defect."""
        return np.array([image.defect is not None for image in self.images], np.bool_)

    def of(self, category: str) -> "Paired":
        """Give the pictures of one category; those of one run alone are not told apart here."""
        chosen = np.array([image.category == category for image in self.images], np.bool_)
        images = tuple(image for image in self.images if image.category == category)
        return Paired(images, self.first[chosen], self.second[chosen], 0, 0)

    def record(self) -> ScoresRecord:
        """Sum the differences up."""
        apart = np.abs(self.second - self.first)
        return ScoresRecord(
            images=len(self.images),
            only_first=self.only_first,
            only_second=self.only_second,
            most=float(apart.max(initial=0.0)),
            mean=float(apart.mean()) if apart.size else 0.0,
            rank_correlation=rank_correlation(self.first, self.second),
        )


def compared(first: Results, second: Results) -> Comparison:
    """Compare two runs, picture by picture and metric by metric.

    Raises:
        InputError: They have no picture in common.
    """
    pairs = paired(first.images, second.images)
    if not pairs.images:
        raise InputError(
            f"the two results have no picture in common ({first.data.dataset} and "
            f"{second.data.dataset}); evaluate both on the same dataset"
        )
    shared = _shared_categories(first, second)
    means = (
        mean_of(each.before for each in shared).metrics,
        mean_of(each.after for each in shared).metrics,
    )
    same_aupro = first.aupro_mode == second.aupro_mode
    return Comparison(
        vipx_version=__version__,
        first_sha256=first.model.sha256,
        second_sha256=second.model.sha256,
        notes=tuple(_notes(first, second, pairs)),
        means=means,
        mean=_difference(*means, same_aupro=same_aupro),
        categories=tuple(_category(each, pairs, same_aupro=same_aupro) for each in shared),
        scores=pairs.record(),
        images=tuple(_images(pairs)),
    )


def paired(first: tuple[ImageRecord, ...], second: tuple[ImageRecord, ...]) -> Paired:
    """Match pictures by category and name."""
    others = {(image.category, image.image): image for image in second}
    both = [image for image in first if (image.category, image.image) in others]
    matched = [others[image.category, image.image] for image in both]
    return Paired(
        images=tuple(both),
        first=np.array([image.score for image in both], np.float64),
        second=np.array([image.score for image in matched], np.float64),
        only_first=len(first) - len(both),
        only_second=len(second) - len(matched),
    )


def rank_correlation(
    first: Float[ndarray, "images"], second: Float[ndarray, "images"]
) -> float | None:
    """Give Spearman's correlation: Pearson's of the ranks, where equal values share their mean rank."""
    ranks = [_ranks(values) for values in (first, second)]
    if not first.size or any(rank.min() == rank.max() for rank in ranks):
        return None
    centred = [rank - rank.mean() for rank in ranks]
    lengths = np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    return float((centred[0] * centred[1]).sum() / lengths)


def _ranks(values: Float[ndarray, "images"]) -> Float[ndarray, "images"]:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    highest = np.cumsum(count)
    return (highest - (count - 1) / 2)[place]


@dataclass(frozen=True, slots=True)
class _Shared:
    """One category as both runs have it."""

    before: CategoryRecord
    after: CategoryRecord


def _shared_categories(first: Results, second: Results) -> list[_Shared]:
    by_name = {category.category: category for category in second.categories}
    return [
        _Shared(each, by_name[each.category])
        for each in first.categories
        if each.category in by_name
    ]


def _category(shared: _Shared, pairs: Paired, *, same_aupro: bool) -> ComparedCategory:
    name, before, after = shared.before.category, shared.before.metrics, shared.after.metrics
    return ComparedCategory(
        category=name,
        first=before,
        second=after,
        difference=_difference(before, after, same_aupro=same_aupro),
        scores=pairs.of(name).record(),
    )


def _images(pairs: Paired) -> Iterator[ComparedImage]:
    scores = zip(pairs.images, pairs.first.tolist(), pairs.second.tolist(), strict=True)
    for image, first, second in scores:
        yield ComparedImage(
            category=image.category,
            image=image.image,
            defect=image.defect,
            first=first,
            second=second,
        )


def _difference(
    before: MetricsRecord, after: MetricsRecord, *, same_aupro: bool
) -> DifferenceRecord:
    values: dict[str, float | None] = {}
    for name in METRICS:
        a, b = getattr(before, name), getattr(after, name)
        known = a is not None and b is not None and (same_aupro or name != "aupro")
        values[name] = b - a if known else None
    return DifferenceRecord(**values)


def _notes(first: Results, second: Results, pairs: Paired) -> list[str]:
    """Say whatever makes the two runs less than comparable."""
    notes = []
    if pairs.only_first or pairs.only_second:
        notes.append(
            f"The runs hold different pictures: {pairs.only_first} are in A alone, "
            f"{pairs.only_second} in B alone. Metrics are each run's own, scores those of common pictures."
        )
    if first.aupro_mode != second.aupro_mode:
        notes.append(
            f"A holds the {first.aupro_mode} AUPRO, B the {second.aupro_mode} one: not compared."
        )
    sizes = [(run.model.height, run.model.width) for run in (first, second)]
    if sizes[0] != sizes[1]:
        notes.append(f"The inputs differ in size: {sizes[0]} and {sizes[1]} px.")
    return notes
