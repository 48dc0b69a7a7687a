"""What a recipe keeps of its good images, so that later ones can be compared with them."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

from vipx.errors import ArtifactError, UsageError

MOST_SCORES = 1024
MOST_FEATURES = 64
_SEED = 20261121


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """The scores of good images.

    Attributes:
        images: How many there were.
        scores: Sorted; all of them, or 1,024 evenly spaced ones of more.
    """

    images: int
    scores: Float64[ndarray, " kept"]

    @classmethod
    def of(cls, scores: Float64[ndarray, " images"]) -> "ScoreSummary":
        """Summarise scores, in any order.

        Raises:
            UsageError: There is none, or one is not a number.
        """
        if not scores.size or not np.isfinite(scores).all():
            raise UsageError("scores: expected one or more, all of them finite")
        ordered = np.sort(scores)
        kept = min(ordered.size, MOST_SCORES)
        places = (np.arange(kept) + 0.5) * ordered.size / kept
        return cls(images=ordered.size, scores=ordered[places.astype(np.int64)])

    def record(self) -> dict[str, Any]:
        """Give plain data for JSON."""
        return {"images": self.images, "scores": [float(score) for score in self.scores]}

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> "ScoreSummary":
        """Read what `record` gave.

        Raises:
            ArtifactError: It is something else.
        """
        images, values = record.get("images"), record.get("scores")
        try:
            scores = np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise _broken("scores") from None
        if not isinstance(images, int) or scores.ndim != 1 or not 0 < scores.size <= images:
            raise _broken("scores")
        if not np.isfinite(scores).all() or (np.diff(scores) < 0).any():
            raise _broken("scores")
        return cls(images=images, scores=scores)


@dataclass(frozen=True, slots=True)
class FeatureSummary:
    """The global features of good images.

    Attributes:
        images: How many there were.
        mean: Over all of them.
        reference: Of all images, or of 64 that were drawn from more.
    """

    images: int
    mean: Float32[ndarray, " dim"]
    reference: Float32[ndarray, "kept dim"]

    @classmethod
    def of(cls, features: Float32[ndarray, "images dim"]) -> "FeatureSummary":
        """Summarise features; which of many are kept depends on their number alone.

        Raises:
            UsageError: There is none, or one is not a number.
        """
        if not features.size or not np.isfinite(features).all():
            raise UsageError("features: expected one or more, all of them finite")
        kept = np.arange(len(features))
        if len(features) > MOST_FEATURES:
            generator = np.random.default_rng(_SEED)
            kept = np.sort(generator.choice(len(features), MOST_FEATURES, replace=False))
        mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
        return cls(images=len(features), mean=mean, reference=features[kept].copy())

    def record(self) -> dict[str, Any]:
        """Give plain data for JSON: arrays as base64 of little-endian float32."""
        return {
            "images": self.images,
            "dim": self.mean.size,
            "mean": _text(self.mean),
            "reference": _text(self.reference),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> "FeatureSummary":
        """Read what `record` gave.

        Raises:
            ArtifactError: It is something else.
        """
        images, dim = record.get("images"), record.get("dim")
        if not isinstance(images, int) or not isinstance(dim, int) or dim < 1:
            raise _broken("features")
        mean, reference = _array(record.get("mean")), _array(record.get("reference"))
        kept, rest = divmod(reference.size, dim)
        if mean.size != dim or rest or not 0 < kept <= images:
            raise _broken("features")
        return cls(images=images, mean=mean, reference=reference.reshape(kept, dim))


def _text(array: Float32[ndarray, "..."]) -> str:
    return base64.b64encode(array.astype("<f4").tobytes()).decode()


def _array(text: object) -> Float32[ndarray, " numbers"]:
    if not isinstance(text, str):
        raise _broken("features")
    try:
        array = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    except (binascii.Error, ValueError):
        raise _broken("features") from None
    if not np.isfinite(array).all():
        raise _broken("features")
    return array


def _broken(what: str) -> ArtifactError:
    return ArtifactError(
        f"recipe: its summary of {what} cannot be understood; make it again with `vipx calibrate`"
    )
