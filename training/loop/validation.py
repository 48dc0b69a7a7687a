"""Measures a method on examples that it does not learn from, one category at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray

from vipx.training.loop.examples import Example
from vipx.training.loop.preparation import Prepared
from vipx.training.methods.scoring import anomaly_map, upsampled_probabilities
from vipx.training.metrics import Metrics, measurement

BATCH = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics of each category; the mean leaves out where one is undefined."""

    categories: Mapping[str, Metrics]

    @property
    def mean(self) -> Metrics:
        """Average over the categories where a metric is defined."""
        means: dict[str, float | None] = {}
        for field in fields(Metrics):
            found = [getattr(one, field.name) for one in self.categories.values()]
            known = [value for value in found if value is not None]
            means[field.name] = float(np.mean(known)) if known else None
        return Metrics(**means)

    @property
    def goal(self) -> float | None:
        """What the best checkpoint has most of: the mean of image AUROC and AUPRO, where they are defined."""
        mean = self.mean
        known = [value for value in (mean.image_auroc, mean.aupro) if value is not None]
        return float(np.mean(known)) if known else None


@dataclass(frozen=True, slots=True)
class Answers:
    """Scores of images, and maps and masks of those whose pixel truth is known."""

    scores: Float[ndarray, "images"]
    maps: Float[ndarray, "known height width"]
    masks: Bool[ndarray, "known height width"]


def measured_on(examples: Sequence[Example], prepared: Prepared) -> Measured:
    """Score every example and compute the metrics; the memory is that of one category."""
    ordered = sorted(examples, key=lambda one: one.sample.category)
    found: dict[str, Metrics] = {}
    for category, group in groupby(ordered, key=lambda one: one.sample.category):
        members = list(group)
        answers = _answers(members, prepared)
        labels = np.array([one.label for one in members])
        some = len(answers.maps) > 0
        found[category] = measurement(
            labels,
            answers.scores,
            answers.masks if some else None,
            answers.maps if some else None,
        ).metrics()
    return Measured(found)


@torch.no_grad()
def _answers(members: Sequence[Example], prepared: Prepared) -> Answers:
    backbone, method = prepared.backbone, prepared.method
    options, grid = backbone.vision.options, backbone.vision.grid
    size = options.height, options.width
    scores, maps, masks = [], [np.zeros((0, *size), np.float32)], [np.zeros((0, *size), np.bool_)]
    groups = [members[start : start + BATCH] for start in range(0, len(members), BATCH)]
    for group, batch in zip(groups, prepared.encoder.batches(groups), strict=True):
        result = method(backbone.text, batch.features)
        known = np.array([one.known for one in group])
        planes = upsampled_probabilities(result.alignment, grid, size)
        scores.append(result.scores().cpu().numpy())
        if known.any():
            maps.append(anomaly_map(planes[known], method.config.sigma))
            masks.append(batch.targets.masks.cpu().numpy()[known])
    return Answers(np.concatenate(scores), np.concatenate(maps), np.concatenate(masks))
