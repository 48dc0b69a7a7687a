"""How a recipe judges images whose truth is known; they change no threshold."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vipx.calibration.collection.measurement import Measurement
from vipx.calibration.rates import Rate, rate_of
from vipx.recipe import LimitRecord, ThresholdsRecord
from vipx.verdict import Evidence, Limit, Limits, Verdict, judge


@dataclass(frozen=True, slots=True)
class Labelled:
    """Good and defective images at the recipe's limits.

    Attributes:
        found: Defective images that are NG.
        found_or_review: Those that are NG or REVIEW: what a person gets to see.
        false_alarms: Good images that are NG. The thresholds were made from them, so this flatters.
        auroc: Of the score, over both.
        missed: Names of the defective images that are OK.
    """

    found: Rate
    found_or_review: Rate
    false_alarms: Rate
    auroc: float
    missed: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Give plain data for JSON."""
        return asdict(self)


def labelled(
    thresholds: ThresholdsRecord, good: Sequence[Measurement], defects: Sequence[Measurement]
) -> Labelled:
    """Judge measured images as the line will."""
    passed, failed = ([verdict_of(thresholds, one) for one in each] for each in (good, defects))
    ng = failed.count(Verdict.NG)
    return Labelled(
        found=rate_of(ng, len(failed)),
        found_or_review=rate_of(ng + failed.count(Verdict.REVIEW), len(failed)),
        false_alarms=rate_of(passed.count(Verdict.NG), len(passed)),
        auroc=auroc(good, defects),
        missed=tuple(
            one.name for one, said in zip(defects, failed, strict=True) if said is Verdict.OK
        ),
    )


def verdict_of(thresholds: ThresholdsRecord, one: Measurement) -> Verdict:
    """Judge a measured image."""
    limits = Limits(_limit(thresholds.score), _limit(thresholds.level), thresholds.minimal_area)
    return judge(Evidence(one.score, one.level), limits).verdict


def auroc(good: Sequence[Measurement], defects: Sequence[Measurement]) -> float:
    """Give the chance that a defective image scores above a good one; ties count half."""
    low, high = (np.array([one.score for one in each]) for each in (good, defects))
    above = (high[:, None] > low).mean() + (high[:, None] == low).mean() / 2
    return float(above)


def _limit(record: LimitRecord | None) -> Limit | None:
    return None if record is None else Limit(record.review, record.ng)
