"""How the false-alarm rate moves when light, focus or position do: the good images, perturbed."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from vipx.calibration.stress.perturbations import PERTURBATIONS, Perturbation
from vipx.calibration.thresholds.shares import Share, share_of
from vipx.images import ListedImage, read_image
from vipx.runtime.inspector import Inspector
from vipx.verdict import Verdict

Report = Callable[[str], None]
SEED = 20261121


@dataclass(frozen=True, slots=True)
class StressRow:
    """One perturbation.

    Attributes:
        name: What changes.
        amount: By how much.
        ng: Share of the good images that are NG, with its exact interval.
        review: How many are REVIEW.
        errors: How many have no verdict.
        score_shift: Median change of the score.
    """

    name: str
    amount: str
    ng: Share
    review: int
    errors: int
    score_shift: float

    def record(self) -> dict[str, Any]:
        """Give plain data for JSON."""
        return asdict(self)


def stressed(
    inspector: Inspector,
    images: Sequence[ListedImage],
    report: Report,
    perturbations: Sequence[Perturbation] = PERTURBATIONS,
) -> tuple[StressRow, ...]:
    """Judge good images as they are, then under each perturbation; the same seed gives the same rows.

    The first row is unperturbed: those images made the thresholds, so its rate flatters.
    """
    plain = Perturbation("none", "-", lambda pixels, _: pixels)
    first, scores = _row(inspector, images, plain, None, report)
    rows = [_row(inspector, images, each, scores, report)[0] for each in perturbations]
    return (first, *rows)


def _row(
    inspector: Inspector,
    images: Sequence[ListedImage],
    perturbation: Perturbation,
    before: Sequence[float] | None,
    report: Report,
) -> tuple[StressRow, list[float]]:
    verdicts, scores = [], []
    for place, image in enumerate(images):
        report(f"stress: {perturbation.name} {perturbation.amount}, {place + 1} of {len(images)}")
        # Each image has its own numbers, whatever the others are.
        generator = np.random.default_rng([SEED, place])
        result = inspector.inspect(perturbation.change(read_image(image.path), generator))
        verdicts.append(result.verdict)
        scores.append(result.score)
    shifts = [a - b for a, b in zip(scores, before or scores, strict=True)]
    row = StressRow(
        name=perturbation.name,
        amount=perturbation.amount,
        ng=share_of(verdicts.count(Verdict.NG), len(verdicts)),
        review=verdicts.count(Verdict.REVIEW),
        errors=verdicts.count(Verdict.ERROR),
        score_shift=median(shifts),
    )
    return row, scores
