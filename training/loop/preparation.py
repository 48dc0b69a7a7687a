"""What a run works on: examples, the frozen backbone, the method before its first step, and the cache."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vipx.training.data.open import open_dataset
from vipx.training.data.samples import Dataset
from vipx.training.features.identity import FileIdentities
from vipx.training.features.key import feature_key
from vipx.training.features.store import FeatureStore
from vipx.training.loop.devices import Place
from vipx.training.loop.encoding import Encoder
from vipx.training.loop.examples import (
    Example,
    all_variants,
    examples_from,
    held_out_samples,
    learned_samples,
    measured_samples,
)
from vipx.training.loop.settings.configuration import RunSettings, Settings
from vipx.training.loop.settings.notes import notes
from vipx.training.methods.method import Method
from vipx.training.methods.registry import METHODS
from vipx.training.model.backbone import Backbone, load_clip

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Examples:
    """Examples to learn from, and those that are only measured."""

    learned: tuple[Example, ...]
    held_out: tuple[Example, ...]
    evaluated: tuple[Example, ...]

    @property
    def all(self) -> tuple[Example, ...]:
        """All of them."""
        return self.learned + self.held_out + self.evaluated


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run before its first step; the backbone is frozen, the method's parameters are as drawn."""

    settings: Settings
    place: Place
    examples: Examples
    backbone: Backbone
    method: Method
    encoder: Encoder


def prepare(settings: Settings, place: Place, say: Say) -> Prepared:
    """Open the dataset, load the backbone and draw the method's first parameters.

    Args:
        settings: The run's.
        place: This process's.
        say: Gets one line for each thing that a user should know.

    Raises:
        VipxError: Something that the settings name cannot be used.
    """
    examples = _examples(settings, say)
    for note in notes(settings.method.name, settings.method.config):
        say(note)
    chosen = settings.backbone
    loaded = load_clip(weights=chosen.weights, name=chosen.name, tag=chosen.tag)
    backbone = Backbone(loaded, settings.vision, chosen.activation).eval()
    torch.manual_seed(settings.optimiser.seed)
    # Both move together, and not before: parameters are drawn on the CPU, the same for every device.
    method = METHODS[settings.method.name].untrained(settings.method.config, backbone)
    backbone, method = backbone.to(place.device), method.to(place.device)
    store = _store(settings, backbone, say) if settings.run.cache else None
    optimiser, run = settings.optimiser, settings.run
    encoder = Encoder(backbone, store, optimiser, run.workers)
    if store is not None:
        _announce_cache(store, encoder, all_variants(examples.learned, settings), examples, say)
    return Prepared(settings, place, examples, backbone, method, encoder)


def cache_root(run: RunSettings) -> Path:
    """Give the folder of the features' cache."""
    if run.cache_folder:
        return Path(run.cache_folder)
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "vipx" / "features"


def _examples(settings: Settings, say: Say) -> Examples:
    data, evaluation = settings.data, settings.evaluation
    dataset = open_dataset(data.dataset, data.root)
    files = FileIdentities(cache_root(settings.run) / "files.json" if settings.run.cache else None)
    learned = examples_from(learned_samples(dataset, data), files)
    held_out = examples_from(held_out_samples(dataset, data), files)
    evaluated = examples_from(measured_samples(evaluation), files) if evaluation else ()
    files.save()
    _announce_data(dataset, learned, say)
    return Examples(learned, held_out, evaluated)


def _announce_data(dataset: Dataset, learned: Sequence[Example], say: Say) -> None:
    anomalous = sum(one.label for one in learned)
    categories = len({one.sample.category for one in learned})
    say(f"{len(learned)} images of {categories} categories, {anomalous} of them anomalous")
    if dataset.problems:
        first = dataset.problems[0]
        say(
            f"{len(dataset.problems)} problems in the dataset, the first: {first.path}: {first.reason}; "
            "`vipx data check` names all"
        )
    if unknown := sum(not one.known for one in learned):
        say(f"{unknown} anomalous images have no mask: the image loss alone learns from them")


def _store(settings: Settings, backbone: Backbone, say: Say) -> FeatureStore:
    key = feature_key(backbone, settings.optimiser.precision, settings.optimiser.features)
    return FeatureStore(cache_root(settings.run), key, say)


def _announce_cache(
    store: FeatureStore,
    encoder: Encoder,
    learned: Sequence[Example],
    examples: Examples,
    say: Say,
) -> None:
    """Say what the cache will take before it is taken."""
    missing = encoder.missing([*learned, *examples.held_out, *examples.evaluated])
    needed = store.check_room(missing)
    if missing:
        say(
            f"cache {store.folder}: {missing} images at {store.shape.size / 1e6:.2f} MB, "
            f"{needed / 1e9:.2f} GB in all"
        )
