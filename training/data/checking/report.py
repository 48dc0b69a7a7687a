"""What `vipx data check` has to say about a dataset."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vipx.training.data.checking.duplicates import Duplicates, duplicates
from vipx.training.data.checking.looks import Finding, Look, look_at
from vipx.training.data.samples import Dataset, Problem, Sample

__all__ = ["Count", "DatasetReport", "Sizes", "check"]


@dataclass(frozen=True, slots=True)
class Count:
    """How many pictures of one kind there are; `kind` is `good` or the defect."""

    category: str
    split: str
    kind: str
    images: int
    masks: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """Picture sizes as (height, width) px; smallest and largest by their number of pixels."""

    smallest: tuple[int, int]
    largest: tuple[int, int]
    most_frequent: tuple[int, int]
    of_most_frequent: int
    different: int


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """A dataset's counts, and everything that was found.

    Attributes:
        name: the layout.
        root: where it is.
        images: how many there are, readable or not.
        counts: in the order of category, split and kind, good ones first.
        sizes: None if no picture can be read.
        missing: a line for each category without good or without anomalous pictures to test on.
        findings: one for each file that something is wrong with.
        duplicates: pictures that stand there twice.
    """

    name: str
    root: str
    images: int
    counts: tuple[Count, ...]
    sizes: Sizes | None
    missing: tuple[str, ...]
    findings: tuple[Finding, ...]
    duplicates: Duplicates

    @property
    def usable(self) -> bool:
        """Whether every file can be loaded."""
        return not any(finding.unusable for finding in self.findings)

    def record(self) -> dict[str, Any]:
        """Give the report as plain data for JSON."""
        return asdict(self) | {"usable": self.usable}


def check(dataset: Dataset, report: Callable[[str], None] = lambda _: None) -> DatasetReport:
    """Read every picture and mask of a dataset once; of each, a few hundred bytes are kept.

    `report` is told how far it is.
    """
    looks: list[Look] = []
    findings = [_from_problem(problem) for problem in dataset.problems]
    for seen in look_at(dataset, report):
        if isinstance(seen, Finding):
            findings.append(seen)
        else:
            looks.append(seen)
            findings.extend(seen.findings)
    return DatasetReport(
        name=dataset.name,
        root=str(dataset.root),
        images=len(dataset.samples),
        counts=tuple(_counts(dataset.samples)),
        sizes=_sizes(looks),
        missing=tuple(_missing(dataset)),
        findings=tuple(findings),
        duplicates=duplicates(looks),
    )


def _from_problem(problem: Problem) -> Finding:
    return Finding("layout", str(problem.path), problem.reason, unusable=not problem.warning)


def _counts(samples: Sequence[Sample]) -> Iterator[Count]:
    kinds = Counter((each.category, each.split, each.defect or "") for each in samples)
    masks = Counter((each.category, each.split, each.defect or "") for each in samples if each.mask)
    for key in sorted(kinds):
        category, split, defect = key
        yield Count(category, split, defect or "good", kinds[key], masks[key])


def _sizes(looks: Sequence[Look]) -> Sizes | None:
    sizes = Counter(look.size for look in looks if look.size is not None)
    if not sizes:
        return None
    ranked = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    [(frequent, number)] = sizes.most_common(1)
    return Sizes(ranked[0], ranked[-1], frequent, number, len(sizes))


def _missing(dataset: Dataset) -> Iterator[str]:
    for category in dataset.categories:
        test = dataset.chosen(categories=[category], split="test")
        if not any(not sample.anomalous for sample in test):
            yield f"{category}: no good image to test on; its image metrics are undefined"
        if not any(sample.anomalous for sample in test):
            yield f"{category}: no anomalous image to test on; its metrics are undefined"
