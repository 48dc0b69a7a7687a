"""How good scores and anomaly maps are: AUROC, average precision, best F1 and AUPRO.

Every metric sorts its values once. What a one-class set leaves undefined is None, never NaN.
The definitions are those of the published evaluation (methods/vip2clip.md 1.9).
"""

from vipx.training.metrics.figures import (
    Measurement,
    Metrics,
    aupro,
    image_ap,
    image_auroc,
    image_f1_max,
    measured,
    measurement,
    pixel_auroc,
    pixel_f1_max,
    pixel_f1_threshold,
)
from vipx.training.metrics.ranking import Curve, Ranking
from vipx.training.metrics.regions import FPR_LIMIT, AuproMode, RegionRanking

__all__ = [
    "FPR_LIMIT",
    "AuproMode",
    "Curve",
    "Measurement",
    "Metrics",
    "Ranking",
    "RegionRanking",
    "aupro",
    "image_ap",
    "image_auroc",
    "image_f1_max",
    "measured",
    "measurement",
    "pixel_auroc",
    "pixel_f1_max",
    "pixel_f1_threshold",
]
