"""Where mistakes have a price: limits moved until they cost least, and what they would say of unseen pictures.

Good images put the limits somewhere. Costs move all of them by the same log odds, so that only one number is
chosen on the labelled images. That number still flatters itself on them. Its false alarms are therefore bounded
for every threshold that might have been chosen, and its verdicts are counted on pictures that were left out.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from vipx.calibration.collection.pictures import Pictures
from vipx.calibration.limits import Plan, logits_of, probability_of
from vipx.calibration.thresholds.costs import Costs, cheapest_threshold
from vipx.calibration.thresholds.order import just_above
from vipx.calibration.thresholds.shares import clopper_pearson
from vipx.errors import GateError
from vipx.recipe import CostsRecord, LimitRecord, ThresholdsRecord
from vipx.verdict import Evidence, Limit, Limits, Verdict, judge

FEWEST_DEFECTS = 2
_MOST_LOTS = 100
_NAMES = ("score", "level")


@dataclass(frozen=True, slots=True)
class Chooser:
    """How limits are chosen.

    Attributes:
        plan: From good pictures.
        costs: What moves them, if anything.
    """

    plan: Plan
    costs: Costs | None = None

    def limits(self, good: Pictures, defects: Pictures) -> Limits:
        """Choose limits; defects play no part without costs."""
        limits = self.plan.limits(good)
        if self.costs is None:
            return limits
        return moved(limits, good, defects, self.costs)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What limits chosen without a picture say of it, picture by picture."""

    good: tuple[Verdict, ...]
    defects: tuple[Verdict, ...]


def moved(limits: Limits, good: Pictures, defects: Pictures, costs: Costs) -> Limits:
    """Move limits to where mistakes on these pictures cost least."""
    shift = _shift(limits, good, defects, costs)
    every = {
        name: np.concatenate([getattr(one, name) for one in (good, defects)]) for name in _NAMES
    }
    score, level = (_moved(getattr(limits, name), shift, every[name]) for name in _NAMES)
    return Limits(score, level, limits.area)


def moved_record(
    record: ThresholdsRecord, good: Pictures, defects: Pictures, costs: Costs
) -> ThresholdsRecord:
    """Move the limits of a recipe; what good images alone say stays beside them.

    Raises:
        GateError: There is one defect, or none: nothing could be left out.
    """
    if defects.count < FEWEST_DEFECTS:
        raise GateError(
            f"{defects.count} different defective images cannot say what mistakes cost; take "
            f"{FEWEST_DEFECTS} or more, or leave the limits to the good images"
        )
    limits = limits_of_record(record)
    after = moved(limits, good, defects, costs)
    shift = _shift(limits, good, defects, costs)
    both = len([name for name in _NAMES if getattr(record, name) is not None])
    score, level = (
        _record(getattr(record, name), getattr(after, name), getattr(good, name), both)
        for name in _NAMES
    )
    kept = CostsRecord(**asdict(costs), defects=defects.count, shift=shift)
    return ThresholdsRecord(score=score, level=level, minimal_area=record.minimal_area, costs=kept)


def left_out(chooser: Chooser, good: Pictures, defects: Pictures) -> LeftOut:
    """Choose limits without each picture in turn, and judge it by them.

    Of more than 100 pictures several are left out at once. Without costs defects change no limit, and none
    needs to be left out.
    """
    said: dict[str, list[Verdict]] = {}
    for kind, pictures in (("good", good), ("defects", defects)):
        verdicts = np.empty(pictures.count, dtype=object)
        alike = kind == "defects" and chooser.costs is None
        for lot in _lots(pictures.count, 1 if alike else _MOST_LOTS):
            rest = pictures.where(~lot)
            others = (rest, defects) if kind == "good" else (good, rest)
            found = chooser.limits(*others)
            verdicts[lot] = verdicts_of(found, pictures.where(lot))
        said[kind] = list(verdicts)
    return LeftOut(tuple(said["good"]), tuple(said["defects"]))


def verdicts_of(limits: Limits, pictures: Pictures) -> list[Verdict]:
    """Judge pictures."""
    return [
        judge(Evidence(float(score), float(level)), limits).verdict
        for score, level in zip(pictures.score, pictures.level, strict=True)
    ]


def limits_of_record(record: ThresholdsRecord) -> Limits:
    """Read the limits of a recipe."""
    score, level = (
        None if one is None else Limit(one.review, one.ng) for one in (record.score, record.level)
    )
    return Limits(score, level, record.minimal_area)


def _lots(pictures: int, most: int) -> Iterator[Bool[ndarray, " pictures"]]:
    """Deal pictures out, one after the other."""
    places = np.arange(pictures) % most
    return (places == lot for lot in range(min(pictures, most)))


def _shift(limits: Limits, good: Pictures, defects: Pictures, costs: Costs) -> float:
    return cheapest_threshold(_margins(limits, good), _margins(limits, defects), costs)


def _margins(limits: Limits, pictures: Pictures) -> Float64[ndarray, " pictures"]:
    """Give the log odds by which each picture is beyond an NG limit, by the number that is farthest."""
    beyond = [
        logits_of(getattr(pictures, name)) - _logit(limit)
        for name in _NAMES
        if (limit := getattr(limits, name)) is not None
    ]
    farthest: Float64[ndarray, " pictures"] = np.max(beyond, axis=0)
    return farthest


def _logit(limit: Limit) -> float:
    return float(logits_of(np.array([limit.ng]))[0])


def _moved(
    limit: Limit | None, shift: float, numbers: Float64[ndarray, " pictures"]
) -> Limit | None:
    """Move a limit so that pictures fall on the side that their log odds chose, whatever rounding does."""
    if limit is None:
        return None
    ng = logits_of(numbers) - _logit(limit) >= shift
    value = max(probability_of(_logit(limit) + shift), just_above(0.0))
    if not ng.all():
        value = max(value, just_above(float(numbers[~ng].max())))
    if ng.any():
        value = min(value, max(float(numbers[ng].min()), just_above(0.0)))
    return Limit(min(limit.review, value), value)


def _record(
    record: LimitRecord | None,
    limit: Limit | None,
    numbers: Float64[ndarray, " pictures"],
    both: int,
) -> LimitRecord | None:
    """Say what is still sure of a limit that was chosen on the very pictures.

    It lies between two of the sorted pictures. For each such place the share of good parts beyond has an exact
    bound; all of them hold together if each has its part of the error (Bonferroni).
    """
    if record is None or limit is None:
        return None
    alarms = int((numbers >= limit.ng).sum())
    error = (1 - record.confidence) / numbers.size / both
    told = (
        "chosen by costs on labelled images: on these it flatters itself; go by the verdicts on "
        "pictures that were left out"
    )
    return record.model_copy(
        update={
            "ng": limit.ng,
            "review": limit.review,
            "kind": "cost",
            "false_alarms": clopper_pearson(alarms, numbers.size, 1 - 2 * error),
            "warnings": (*record.warnings, told),
            "good": (record.review, record.ng),
        }
    )
