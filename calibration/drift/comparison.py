"""A rolling comparison of the line's images with the recipe's: says "recalibrate", and why; changes nothing.

Looking often finds chance differences. A line without change is to be accused at most once in 1 / false_alarms
periods, so each camera answers for its share of that probability, and each kind of evidence for a third of it:
the two tests of the scores and, where there are any, the one of the features (without them the scores have it
all). The scores' share becomes a level as `chance` says; the features' is divided among the looks (Bonferroni).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from vipx.calibration.drift.chance import TESTS, Sizes, score_level
from vipx.calibration.drift.evidence import (
    FeatureChange,
    ScoreChange,
    feature_change,
    score_change,
)
from vipx.calibration.drift.summaries import FeatureSummary, ScoreSummary
from vipx.errors import UsageError

Advice = Literal["keep", "recalibrate", "collect"]


@dataclass(frozen=True, slots=True)
class Observed:
    """One inspected image.

    Attributes:
        score: As the bundle gave it.
        camera: Which one; "" where there is only one.
        time: As written; None where unknown.
        features: Global feature of unit length, if it was kept.
    """

    score: float
    camera: str = ""
    time: str | None = None
    features: Float32[ndarray, " dim"] | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """How closely to look.

    Attributes:
        window: Images of one look: the latest of a camera.
        every: Images from one look to the next.
        fewest: Images without which there is no look.
        looks: Looks of one period. A file with more looks raises it to theirs.
        false_alarms: Probability of any alarm in a period without change.
    """

    window: int = 200
    every: int = 50
    fewest: int = 20
    looks: int = 50
    false_alarms: float = 0.05

    def __post_init__(self) -> None:
        for name in ("window", "every", "fewest", "looks"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.fewest > self.window:
            raise UsageError(f"fewest: expected at most the window, {self.window}")
        if not 0 < self.false_alarms < 1:
            raise UsageError(f"false_alarms: expected in (0, 1), got {self.false_alarms}")


@dataclass(frozen=True, slots=True)
class Reference:
    """What the line is compared with: the recipe's summaries."""

    scores: ScoreSummary
    features: FeatureSummary | None = None

    @classmethod
    def from_records(
        cls, scores: Mapping[str, object], features: Mapping[str, object] | None
    ) -> "Reference":
        """Read the records that a recipe keeps.

        Raises:
            ArtifactError: They are something else.
        """
        read = None if features is None else FeatureSummary.from_record(features)
        return cls(ScoreSummary.from_record(scores), read)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one camera.

    Attributes:
        camera: Which one.
        first: Position of the window's first image among the camera's, counted from 1.
        last: Position of its last image.
        time: Of its last image, if known.
        scores: How the scores differ.
        features: How the features differ; None where there were too few.
        alarm: Whether any of it differs more than chance may explain.
    """

    camera: str
    first: int
    last: int
    time: str | None
    scores: ScoreChange
    features: FeatureChange | None
    alarm: bool


@dataclass(frozen=True, slots=True)
class Drift:
    """What the looks found.

    Attributes:
        advice: `recalibrate` if any look raised an alarm, `collect` if a camera had too few images to look.
        evidence: Why, one sentence each.
        level: p-values up to this one of a test of scores raise an alarm.
        feature_level: p-values up to this one of features do; None where there are none.
        false_alarms: Probability of any alarm over `period` looks at each camera without change.
        period: Looks at one camera that the level is shared among.
        images: Of each camera.
        looks: All of them, camera by camera.
    """

    advice: Advice
    evidence: tuple[str, ...]
    level: float
    feature_level: float | None
    false_alarms: float
    period: int
    images: Mapping[str, int]
    looks: tuple[Look, ...]

    def record(self) -> dict[str, Any]:
        """Give plain data for JSON."""
        return asdict(self)


def compare(reference: Reference, observed: Sequence[Observed], watch: Watch = Watch()) -> Drift:
    """Look at images in the order given, camera by camera.

    Raises:
        UsageError: There is no image, or features have another length than the recipe's.
    """
    if not observed:
        raise UsageError("scores: expected at least one image")
    by_name = sorted(observed, key=lambda one: one.camera)
    cameras = {name: list(of) for name, of in groupby(by_name, key=lambda one: one.camera)}
    period = max(watch.looks, *(len(_ends(len(of), watch)) for of in cameras.values()))
    images = {name: len(of) for name, of in cameras.items()}
    levels = _levels(reference, images, watch, period, features=_has_features(reference, observed))
    looks = [look for of in cameras.values() for look in _looks(reference, of, watch, levels)]
    return Drift(
        advice=_advice(looks, images),
        evidence=(*_told_of_alarms(looks, levels), *_told_of_missing(looks, images, watch, levels)),
        level=levels.scores,
        feature_level=levels.features,
        false_alarms=watch.false_alarms,
        period=period,
        images=images,
        looks=tuple(looks),
    )


@dataclass(frozen=True, slots=True)
class _Levels:
    """p-values up to which an alarm is raised; None for features where there are none."""

    scores: float
    features: float | None


def _levels(
    reference: Reference, images: Mapping[str, int], watch: Watch, period: int, *, features: bool
) -> _Levels:
    share = watch.false_alarms / len(images)
    enough = [count for count in images.values() if count >= watch.fewest]
    # The smallest window: the less a look's own chance is averaged out, the less looks have in common.
    window = min(watch.window, *enough) if enough else watch.window
    sizes = Sizes(len(reference.scores.scores), window, period)
    if not features:
        return _Levels(score_level(sizes, share), None)
    kinds = TESTS + 1
    return _Levels(score_level(sizes, share * TESTS / kinds), share / kinds / period)


def _has_features(reference: Reference, observed: Sequence[Observed]) -> bool:
    found = [one.features for one in observed if one.features is not None]
    if reference.features is None or not found:
        return False
    dim = reference.features.mean.size
    if any(feature.size != dim for feature in found):
        raise UsageError(
            f"features: expected {dim} numbers as in the recipe; is it the same bundle?"
        )
    return True


def _ends(images: int, watch: Watch) -> tuple[int, ...]:
    """Give after how many images there is a look: with every full window, and at the end."""
    if images < watch.fewest:
        return ()
    return (*range(min(watch.window, images), images, watch.every), images)


def _looks(
    reference: Reference, observed: Sequence[Observed], watch: Watch, levels: _Levels
) -> Iterator[Look]:
    for end in _ends(len(observed), watch):
        first = max(0, end - watch.window)
        window = observed[first:end]
        found = np.array([one.score for one in window])
        scores = score_change(reference.scores.scores, found, levels.scores)
        features = _features(reference, window, watch, levels.features)
        yield Look(
            camera=window[-1].camera,
            first=first + 1,
            last=end,
            time=window[-1].time,
            scores=scores,
            features=features,
            alarm=scores.lowest <= levels.scores or _strange(features, levels),
        )


def _features(
    reference: Reference, window: Sequence[Observed], watch: Watch, level: float | None
) -> FeatureChange | None:
    found = [one.features for one in window if one.features is not None]
    if reference.features is None or level is None or len(found) < watch.fewest:
        return None
    return feature_change(reference.features.reference, np.stack(found), level)


def _strange(change: FeatureChange | None, levels: _Levels) -> bool:
    return change is not None and levels.features is not None and change.p_value <= levels.features


def _advice(looks: Sequence[Look], images: Mapping[str, int]) -> Advice:
    if any(look.alarm for look in looks):
        return "recalibrate"
    return "keep" if {look.camera for look in looks} == set(images) else "collect"


def _told_of_alarms(looks: Sequence[Look], levels: _Levels) -> Iterator[str]:
    """Tell of each camera's first alarm."""
    alarms = (look for look in looks if look.alarm)
    for _, of in groupby(alarms, key=lambda look: look.camera):
        look = next(of)
        where = f"camera {look.camera}, " if look.camera else ""
        until = f" until {look.time}" if look.time else ""
        where += f"images {look.first} to {look.last}{until}"
        if look.scores.lowest <= levels.scores:
            yield f"{where}: {_score_sentence(look.scores)}, alarm level {levels.scores:.1e}"
        if look.features and _strange(look.features, levels):
            yield f"{where}: {_feature_sentence(look.features)}, alarm level {levels.features:.1e}"


def _score_sentence(change: ScoreChange) -> str:
    return (
        f"scores have another distribution than at calibration (median {change.median:.4g}, was "
        f"{change.calibrated:.4g}; Kolmogorov-Smirnov {change.statistic:.3f}, p = {change.p_value:.1e}; "
        f"{change.above:.0%} of pairs higher than then, p = {change.shift_p_value:.1e})"
    )


def _feature_sentence(change: FeatureChange) -> str:
    return (
        f"pictures look different from those at calibration (mean features {change.distance:.3g} "
        f"apart, {change.expected:.3g} by chance; p = {change.p_value:.1e})"
    )


def _told_of_missing(
    looks: Sequence[Look], images: Mapping[str, int], watch: Watch, levels: _Levels
) -> Iterator[str]:
    looked = {look.camera for look in looks}
    for camera, count in images.items():
        if camera not in looked:
            name = f"camera {camera}: " if camera else ""
            yield f"{name}{count} images are too few to look at, expected {watch.fewest}"
    if levels.features is None:
        yield "features were not compared: the file or the recipe has none"
