"""What a recipe keeps of its good images' distribution, for drift."""

from collections.abc import Sequence

import numpy as np

from vipx.calibration.collection.measurement import Measurement
from vipx.calibration.drift.summaries import FeatureSummary, ScoreSummary
from vipx.recipe import SummaryRecord


def summary_of(good: Sequence[Measurement]) -> SummaryRecord:
    """Summarise scores and global features.

    Copies of a file count once: they would make the line's own variety look like a change.
    """
    different = list({one.sha256: one for one in good}.values())
    scores = np.array([one.score for one in different])
    features = np.stack([one.feature for one in different])  # (images, dim)
    return SummaryRecord(
        scores=ScoreSummary.of(scores).record(), features=FeatureSummary.of(features).record()
    )
