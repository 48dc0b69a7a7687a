"""The verdict on one part, and the rule that leads to it. Nothing is ever OK by default."""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from vipx.errors import UsageError

Cause = Literal["score", "area", "region"]


class Verdict(str, Enum):
    """What the line is told; the value is what is printed and sent."""

    OK = "OK"
    NG = "NG"
    REVIEW = "REVIEW"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and, in one sentence, why.

    Attributes:
        verdict: What the line is told.
        reason: A sentence for a person.
        causes: What led to it: the score, the defective area, or that something stood out beside the region.
    """

    verdict: Verdict
    reason: str
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True, slots=True)
class Limit:
    """Numbers from `review` on are REVIEW, from `ng` on NG."""

    review: float
    ng: float

    def __post_init__(self) -> None:
        if not self.review <= self.ng:  # also catches NaN
            raise UsageError(f"limits: expected review {self.review} at or below NG {self.ng}")

    def verdict(self, value: float) -> Verdict:
        """Judge a number; one that is not finite is an ERROR."""
        if not math.isfinite(value):
            return Verdict.ERROR
        if value >= self.ng:
            return Verdict.NG
        return Verdict.REVIEW if value >= self.review else Verdict.OK


@dataclass(frozen=True, slots=True)
class Limits:
    """What one image is judged by; without any limit every verdict is REVIEW.

    Attributes:
        score: Of the image's score.
        level: Of the heat map.
        area: How many pixels must reach the heat map's limit.
    """

    score: Limit | None = None
    level: Limit | None = None
    area: int = 1


@dataclass(frozen=True, slots=True)
class Evidence:
    """The numbers of one image, all inside the region.

    Attributes:
        score: Anomaly score in [0, 1].
        level: The highest value that `Limits.area` pixels of the heat map reach; None if it was not asked for.
        pixels: How many reach the heat map's NG limit.
        beside: Whether enough pixels outside the region reach it.
    """

    score: float
    level: float | None = None
    pixels: int = 0
    beside: bool = False


def decide(score: float, threshold: float | None) -> Decision:
    """Judge a score.

    Args:
        score: Anomaly score in [0, 1]; anything else is an ERROR, never OK.
        threshold: Scores from here on are NG. Without one nobody has said what is good: REVIEW.
    """
    limit = None if threshold is None else Limit(threshold, threshold)
    return judge(Evidence(score), Limits(score=limit))


def judge(evidence: Evidence, limits: Limits) -> Decision:
    """Judge an image by all of its numbers: one NG suffices, then one REVIEW; OK needs every one."""
    if not 0 <= evidence.score <= 1:  # also catches NaN
        return _error(f"the score {evidence.score} is not a number in [0, 1]")
    if limits.score is None and limits.level is None:
        return Decision(Verdict.REVIEW, "no threshold was given")
    found = [*_score_findings(evidence, limits), *_area_findings(evidence, limits)]
    for verdict in (Verdict.ERROR, Verdict.NG, Verdict.REVIEW, Verdict.OK):
        those = [one for one in found if one.verdict is verdict]
        if those:
            break
    causes = tuple(cause for one in those for cause in one.causes)
    reason = "; ".join(one.reason for one in those)
    if evidence.beside:
        reason += "; what stands out beside the region does not count"
        causes = (*causes, "region")
    return Decision(those[0].verdict, reason, causes)


def _score_findings(evidence: Evidence, limits: Limits) -> list[Decision]:
    if limits.score is None:
        return []
    score, limit = evidence.score, limits.score
    verdict = limit.verdict(score)
    if verdict is Verdict.NG:
        reason = f"score {score:.4f} reaches the threshold {limit.ng:.4f}"
    elif verdict is Verdict.REVIEW:
        reason = (
            f"score {score:.4f} lies between {limit.review:.4f} and the threshold {limit.ng:.4f}"
        )
    else:
        reason = f"score {score:.4f} is below the threshold {limit.review:.4f}"
    return [Decision(verdict, reason, ("score",) if verdict is not Verdict.OK else ())]


def _area_findings(evidence: Evidence, limits: Limits) -> list[Decision]:
    if limits.level is None:
        return []
    limit, level = limits.level, evidence.level
    if level is None or not 0 <= level <= 1:
        return [_error(f"the heat map's level {level} is not a number in [0, 1]")]
    verdict = limit.verdict(level)
    size = f"{limits.area} px"
    if verdict is Verdict.NG:
        reason = f"{evidence.pixels} px of the heat map reach {limit.ng:.4f}, {size} make a defect"
    elif verdict is Verdict.REVIEW:
        reason = f"{size} of the heat map reach {level:.4f}, between {limit.review:.4f} and {limit.ng:.4f}"
    else:
        reason = f"no {size} of the heat map reach {limit.review:.4f}"
    return [Decision(verdict, reason, ("area",) if verdict is not Verdict.OK else ())]


def _error(reason: str) -> Decision:
    return Decision(Verdict.ERROR, reason)


def check_threshold(threshold: float) -> float:
    """Refuse a threshold that no score could reach or miss.

    Raises:
        UsageError: The threshold is not a number in (0, 1].
    """
    if not math.isfinite(threshold) or not 0 < threshold <= 1:
        raise UsageError(f"threshold: expected a number above 0 and up to 1, got {threshold}")
    return threshold
