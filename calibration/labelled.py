"""How a recipe judges images whose truth is known."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vipx.calibration.choice import Chooser, left_out, limits_of_record, verdicts_of
from vipx.calibration.collection.measurement import Measurement
from vipx.calibration.collection.pictures import Pictures
from vipx.calibration.thresholds.shares import Share, share_of
from vipx.ranking import auroc
from vipx.recipe import ThresholdsRecord
from vipx.verdict import Evidence, Verdict, judge


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What limits make of labelled pictures, with exact intervals.

    Attributes:
        found: Of the defects, those that are NG: recall.
        seen: Of the defects, those that are NG or REVIEW: what a person gets to see.
        false_alarms: Of the good pictures, those that are NG.
        precision: Of all that are NG, the defects: among these pictures, not on the line.
    """

    found: Share
    seen: Share
    false_alarms: Share
    precision: Share

    @classmethod
    def of(
        cls, good: Sequence[Verdict], defects: Sequence[Verdict], confidence: float = 0.95
    ) -> "OperatingPoint":
        """Count verdicts."""
        found, alarms = (each.count(Verdict.NG) for each in (defects, good))
        seen = found + defects.count(Verdict.REVIEW)
        return cls(
            found=share_of(found, len(defects), confidence),
            seen=share_of(seen, len(defects), confidence),
            false_alarms=share_of(alarms, len(good), confidence),
            precision=share_of(found, found + alarms, confidence),
        )


@dataclass(frozen=True, slots=True)
class Labels:
    """Good and defective images, and the pictures that they are without repetitions."""

    good: Sequence[Measurement]
    defects: Sequence[Measurement]
    good_pictures: Pictures
    defect_pictures: Pictures


@dataclass(frozen=True, slots=True)
class Labelled:
    """How labelled pictures fare; those that repeat one another count once.

    Attributes:
        left_out: Each judged by limits that were chosen without it: what to go by.
        written: At the limits as they are written, which these pictures made: this flatters.
        auroc: Of the score, over both.
        missed: Names of the defective images that are OK at the limits as written.
        cost: Expected for each part of the line by `left_out`, where costs were given.
    """

    left_out: OperatingPoint
    written: OperatingPoint
    auroc: float
    missed: tuple[str, ...]
    cost: float | None

    def record(self) -> dict[str, Any]:
        """Give plain data for JSON."""
        return asdict(self)


def labelled(thresholds: ThresholdsRecord, labels: Labels, chooser: Chooser) -> Labelled:
    """Judge measured images as the line will."""
    said = left_out(chooser, labels.good_pictures, labels.defect_pictures)
    limits = limits_of_record(thresholds)
    good, defects = (
        verdicts_of(limits, each) for each in (labels.good_pictures, labels.defect_pictures)
    )
    point = OperatingPoint.of(said.good, said.defects)
    return Labelled(
        left_out=point,
        written=OperatingPoint.of(good, defects),
        auroc=auroc_of(labels.good, labels.defects),
        missed=tuple(
            one.name for one in labels.defects if verdict_of(thresholds, one) is Verdict.OK
        ),
        cost=_cost(point, chooser),
    )


def verdict_of(thresholds: ThresholdsRecord, one: Measurement) -> Verdict:
    """Judge a measured image."""
    return judge(Evidence(one.score, one.level), limits_of_record(thresholds)).verdict


def auroc_of(good: Sequence[Measurement], defects: Sequence[Measurement]) -> float:
    """Give the chance that a defective image scores above a good one; ties count half."""
    low, high = (np.array([one.score for one in each]) for each in (good, defects))
    return auroc(low, high)


def _cost(point: OperatingPoint, chooser: Chooser) -> float | None:
    alarms, found = point.false_alarms.value, point.found.value
    if chooser.costs is None or alarms is None or found is None:
        return None
    return chooser.costs.expected(alarms, 1 - found)
