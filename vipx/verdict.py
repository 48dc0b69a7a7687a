"""The verdict on one part, and the rule that leads to it. Nothing is ever OK by default."""

import math
from dataclasses import dataclass
from enum import Enum

from vipx.errors import UsageError


class Verdict(str, Enum):
    """What the line is told; the value is what is printed and sent."""

    OK = "OK"
    NG = "NG"
    REVIEW = "REVIEW"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and, in one sentence, why."""

    verdict: Verdict
    reason: str


def decide(score: float, threshold: float | None) -> Decision:
    """Judge a score.

    Args:
        score: Anomaly score in [0, 1]; anything else is an ERROR, never OK.
        threshold: Scores from here on are NG. Without one nobody has said what is good: REVIEW.
    """
    if not 0 <= score <= 1:  # also catches NaN
        return Decision(Verdict.ERROR, f"the score {score} is not a number in [0, 1]")
    if threshold is None:
        return Decision(Verdict.REVIEW, "no threshold was given")
    if score >= threshold:
        return Decision(Verdict.NG, f"score {score:.4f} reaches the threshold {threshold:.4f}")
    return Decision(Verdict.OK, f"score {score:.4f} is below the threshold {threshold:.4f}")


def check_threshold(threshold: float) -> float:
    """Refuse a threshold that no score could reach or miss.

    Raises:
        UsageError: The threshold is not a number in (0, 1].
    """
    if not math.isfinite(threshold) or not 0 < threshold <= 1:
        raise UsageError(f"threshold: expected a number above 0 and up to 1, got {threshold}")
    return threshold
