"""Shares of counted images with their exact intervals."""

from dataclasses import dataclass

from vipx.calibration.thresholds.duplicates import clopper_pearson


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `images`, and the interval that holds the true share with 95 % (Clopper & Pearson 1934)."""

    count: int
    images: int
    lower: float
    upper: float

    @property
    def share(self) -> float:
        """The share that was measured."""
        return self.count / self.images

    @property
    def text(self) -> str:
        """Say it in one line."""
        interval = f"{100 * self.lower:.1f} to {100 * self.upper:.1f}"
        return f"{self.count} of {self.images} = {100 * self.share:.1f} % ({interval} %)"


def rate_of(count: int, images: int) -> Rate:
    """Count a share; `images` is at least 1."""
    return Rate(count, images, *clopper_pearson(count, images))
