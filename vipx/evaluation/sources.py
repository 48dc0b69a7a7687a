"""Where pictures with their truth come from: datasets on disk, and parts that vipx draws."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Literal

import numpy as np

from vipx.errors import InputError, UsageError
from vipx.evaluation.results import DataRecord
from vipx.images import resize_image, resize_mask
from vipx.training.data.open import open_dataset
from vipx.training.data.procedural import UNSEEN, draw_part
from vipx.training.data.samples import LoadedSample, Problem, Sample, load_sample

__all__ = ["PROCEDURAL", "Case", "DataChoice", "Source", "open_source"]

PROCEDURAL = "procedural"
DRAWN_EACH = 40  # good parts of a category, and as many defective ones
FIRST_SEED = 1_000_000  # training and the demo draw from others
DRAWN_SIDE = 160  # as training draws them

Load = Callable[[int, int], LoadedSample]


@dataclass(frozen=True, slots=True)
class Case:
    """One picture to answer for, not yet read.

    Attributes:
        category: What it shows.
        name: Its path below the root.
        defect: None for a good one.
        masked: Whether its pixel truth is known.
        load: Reads it at a height and width.
    """

    category: str
    name: str
    defect: str | None
    masked: bool
    load: Load


@dataclass(frozen=True, slots=True)
class DataChoice:
    """What to evaluate on; None takes all categories, all pictures of each, and the first parts to draw."""

    dataset: str
    root: Path | None = None
    categories: tuple[str, ...] | None = None
    split: Literal["train", "test"] = "test"
    limit: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """All cases, those of a category side by side, and the files that could not be used."""

    record: DataRecord
    cases: tuple[Case, ...]
    problems: tuple[Problem, ...]

    def by_category(self) -> dict[str, tuple[Case, ...]]:
        """Give the cases of each category."""
        grouped = groupby(self.cases, key=attrgetter("category"))
        return {category: tuple(cases) for category, cases in grouped}


def open_source(choice: DataChoice) -> Source:
    """List what shall be evaluated; nothing is decoded yet.

    Raises:
        UsageError: The dataset or a category is unknown, or the root is missing.
        InputError: The root is not in this layout, or nothing in it is of the split.
    """
    problems: tuple[Problem, ...] = ()
    if choice.dataset == PROCEDURAL:
        cases = _drawn(choice)
    else:
        if choice.seed is not None:
            raise UsageError(f"--seed draws parts; --dataset {choice.dataset} is read from files")
        if choice.root is None:
            raise UsageError(f"--dataset {choice.dataset} needs --root, the dataset's folder")
        dataset = open_dataset(choice.dataset, choice.root)
        samples = dataset.chosen(categories=choice.categories, split=choice.split)
        cases = sorted((_case(sample, choice.root) for sample in samples), key=_category)
        problems = dataset.problems
    limited = _limited(cases, choice.limit)
    if not limited:
        raise InputError(f"{choice.root}: no picture in the split {choice.split!r}")
    record = DataRecord(
        dataset=choice.dataset,
        root=None if choice.root is None else str(choice.root),
        split=choice.split,
        limit=choice.limit,
        seed=choice.seed,
        left_out=sum(not problem.warning for problem in problems),
    )
    return Source(record, tuple(limited), problems)


_category = attrgetter("category")


def _case(sample: Sample, root: Path) -> Case:
    name = sample.image.relative_to(root) if sample.image.is_relative_to(root) else sample.image
    return Case(
        category=sample.category,
        name=name.as_posix(),
        defect=sample.defect,
        masked=sample.masked,
        load=lambda height, width: load_sample(sample, height=height, width=width),
    )


def _drawn(choice: DataChoice) -> list[Case]:
    """Draw good and defective parts in turns, of kinds that training never saw."""
    if choice.root is not None or choice.split != "test":
        raise UsageError(
            f"--dataset {PROCEDURAL} is drawn: it has neither --root nor a train split"
        )
    wanted = UNSEEN if choice.categories is None else choice.categories
    for category in wanted:
        if category not in UNSEEN:
            raise UsageError(
                f"--dataset {PROCEDURAL}: no category {category!r}; there are {', '.join(UNSEEN)}"
            )
    first = FIRST_SEED if choice.seed is None else choice.seed
    return [
        _drawn_case(category, first + number, "random" if number % 2 else None)
        for category in wanted
        for number in range(2 * DRAWN_EACH)
    ]


def _drawn_case(category: str, seed: int, defect: str | None) -> Case:
    name = f"{category}/{'defective' if defect else 'good'}/{seed}"
    load = partial(_draw, category, seed, defect)
    return Case(category, name, "defective" if defect else None, True, load)


def _draw(category: str, seed: int, defect: str | None, height: int, width: int) -> LoadedSample:
    part = draw_part(category, seed, height=DRAWN_SIDE, width=DRAWN_SIDE, defect=defect)
    return LoadedSample(
        image=resize_image(part.image, height=height, width=width),
        mask=resize_mask(part.mask, height=height, width=width),
        label=int(part.defect is not None),
    )


def _limited(cases: Sequence[Case], limit: int | None) -> list[Case]:
    """Take at most `limit` of each category: every kind keeps its share, good ones and each defect."""
    if limit is None:
        return list(cases)
    taken: list[Case] = []
    for _, group in groupby(cases, key=_category):
        kinds = sorted(group, key=lambda case: (case.defect is not None, case.defect or ""))
        places = np.linspace(0, len(kinds) - 1, min(limit, len(kinds))).round().astype(int)
        taken += [kinds[place] for place in places]
    return taken
