"""What is learned from: samples known by their content, and their order in each epoch."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from vipx.errors import UsageError
from vipx.training.data.open import open_dataset
from vipx.training.data.samples import Dataset, LoadedSample, Sample, Split, load_sample
from vipx.training.data.synthesis.synthesize import synthesized
from vipx.training.features.identity import FileIdentities
from vipx.training.loop.settings.configuration import (
    DataSettings,
    EvaluationSettings,
    Part,
    Settings,
)

SYNTHESIS = 1
"""Version of what a drawn defect looks like; stored features know theirs by it."""


@dataclass(frozen=True, slots=True)
class Example:
    """A sample, as it is or with a drawn defect.

    Attributes:
        sample: The files.
        image: Hash of the image's content.
        truth: What the mask is: the hash of its file and its grey limit, `empty` or `unknown`.
        variant: Which drawn defect a good image gets; None for none.
        seed: Of drawn defects.
    """

    sample: Sample
    image: str
    truth: str
    variant: int | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """What stored features go by: everything that decides the pixels and the mask."""
        if self.variant is None:
            return f"{self.image} {self.truth}"
        return f"{self.image} drawn {SYNTHESIS} {self.seed} {self.variant}"

    @property
    def label(self) -> int:
        """1 if anomalous."""
        return int(self.variant is not None or self.sample.anomalous)

    @property
    def known(self) -> bool:
        """Whether the truth of every pixel is known."""
        return self.variant is not None or self.sample.masked

    def load(self, *, height: int, width: int) -> LoadedSample:
        """Read the pixels at one size, and draw the defect if there is one."""
        loaded = load_sample(self.sample, height=height, width=width)
        if self.variant is None:
            return loaded
        rng = np.random.default_rng([self.seed, self.variant, int(self.image[:16], 16)])
        image, mask = synthesized(loaded.image, rng)
        return LoadedSample(image, mask, 1)


def examples_from(samples: Iterable[Sample], files: FileIdentities) -> tuple[Example, ...]:
    """Look up the content of samples' files.

    Raises:
        InputError: A file cannot be read.
    """
    return tuple(
        Example(sample, files.sha256(sample.image), _truth(sample, files)) for sample in samples
    )


def learned_samples(dataset: Dataset, data: DataSettings) -> tuple[Sample, ...]:
    """Choose what is learned from: never an image of a held-out category.

    Raises:
        UsageError: A category is not in the dataset, or nothing is left.
    """
    names = data.categories or tuple(c for c in dataset.categories if c not in data.held_out)
    chosen = dataset.chosen(categories=names, split=split_from(data.split))
    if not chosen:
        raise UsageError(
            f"{dataset.root}: no image of {', '.join(names) or 'any category'} in the split "
            f"{data.split}; change data.split or data.categories"
        )
    return chosen


def held_out_samples(dataset: Dataset, data: DataSettings) -> tuple[Sample, ...]:
    """Choose what is measured after each epoch; nothing if no category is held out.

    Raises:
        UsageError: A category is not in the dataset, or has no image in the split.
    """
    if not data.held_out:
        return ()
    return _whole(dataset, data.held_out, data.held_out_split)


def measured_samples(choice: EvaluationSettings) -> tuple[Sample, ...]:
    """Choose the samples of a measurement.

    Raises:
        UsageError: A category is not in the dataset, or has no image in the split.
    """
    dataset = open_dataset(choice.dataset, choice.root)
    return _whole(dataset, choice.categories or dataset.categories, choice.split)


def _whole(dataset: Dataset, names: Sequence[str], split: Part) -> tuple[Sample, ...]:
    chosen = dataset.chosen(categories=names, split=split_from(split))
    if missing := set(names) - {sample.category for sample in chosen}:
        raise UsageError(
            f"{dataset.root}: no image of {', '.join(sorted(missing))} in the split {split}"
        )
    return chosen


def split_from(part: Part) -> Split | None:
    """Give the data's word for a split; None takes all."""
    return None if part == "all" else part


def content_sha256(examples: Sequence[Example]) -> str:
    """Hash the names of all examples in their order: what a run learns from."""
    return hashlib.sha256("\n".join(one.name for one in examples).encode()).hexdigest()


def epoch_order(examples: Sequence[Example], epoch: int, settings: Settings) -> list[Example]:
    """Shuffle the examples and choose drawn defects; the epoch (from 0) and the seed decide."""
    rng = np.random.default_rng([settings.optimiser.seed, 1, epoch])
    order = [examples[int(i)] for i in rng.permutation(len(examples))]
    if settings.data.synthesize == 0:
        return order
    return [_perhaps_drawn(one, rng, settings) for one in order]


def all_variants(examples: Sequence[Example], settings: Settings) -> list[Example]:
    """Give every example that an epoch can hold: as it is, and with each of its drawn defects."""
    drawn = range(settings.data.variants if settings.data.synthesize > 0 else 0)
    seed = settings.optimiser.seed
    variants = [
        replace(one, variant=number, seed=seed)
        for one in examples
        if not one.sample.anomalous
        for number in drawn
    ]
    return [*examples, *variants]


def _perhaps_drawn(example: Example, rng: Generator, settings: Settings) -> Example:
    share, variant = rng.random(), int(rng.integers(settings.data.variants))
    if example.sample.anomalous or share >= settings.data.synthesize:
        return example
    return replace(example, variant=variant, seed=settings.optimiser.seed)


def _truth(sample: Sample, files: FileIdentities) -> str:
    if not sample.anomalous:
        return "empty"
    if sample.mask is None:
        return "unknown"
    return f"{files.sha256(sample.mask)}>{sample.mask_above}"
