"""What a recipe keeps of its good images' distribution, for drift."""

from collections.abc import Sequence

import numpy as np

from vipx.calibration.collection.measurement import Measurement
from vipx.calibration.drift.summaries import FeatureSummary, ScoreSummary
from vipx.recipe import SummaryRecord


def summary_of(good: Sequence[Measurement]) -> SummaryRecord:
    """Summarise scores and global features."""
    scores = np.array([one.score for one in good])
    features = np.stack([one.feature for one in good])  # (images, dim)
    return SummaryRecord(
        scores=ScoreSummary.of(scores).record(), features=FeatureSummary.of(features).record()
    )
