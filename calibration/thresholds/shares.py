"""Counted shares with their exact intervals."""

from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `images`, and an interval of the probability behind it.

    Attributes:
        count: Those counted.
        images: Of how many; 0 is allowed, and proves nothing.
        lower: End of the interval by Clopper & Pearson (1934).
        upper: Its other end.
        confidence: That the interval holds the probability.
    """

    count: int
    images: int
    lower: float
    upper: float
    confidence: float

    @property
    def value(self) -> float | None:
        """The share that was counted; None of no images."""
        return self.count / self.images if self.images else None

    @property
    def text(self) -> str:
        """Say it in one line."""
        if self.value is None:
            return "0 of 0"
        interval = f"{100 * self.lower:.1f} to {100 * self.upper:.1f} %"
        return f"{self.count} of {self.images} = {100 * self.value:.1f} % ({interval})"


def share_of(count: int, images: int, confidence: float = 0.95) -> Share:
    """Count a share."""
    return Share(count, images, *clopper_pearson(count, images, confidence), confidence)


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Give the exact interval of a probability (Clopper & Pearson 1934), each end at half of what is left.

    No trial proves nothing: from 0 to 1.
    """
    if not trials:
        return 0.0, 1.0
    interval = stats.binomtest(successes, trials).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)
