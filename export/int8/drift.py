"""The drift gate: what rounding changed on pictures of the user's own product that no range was taken from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from jaxtyping import Float
from numpy import ndarray

from vipx.errors import GateError
from vipx.manifest import DriftRecord
from vipx.ranking import auroc

# Correlation and AUROC as proposed in the shared notes (edge.md 6.9). They bound a score by 2e-2, as the parity
# gate does on its few pictures; over many the largest difference says little, and the mean must be half of it.
CORRELATION, SCORE, AUROC = 0.99, 1e-2, 5e-3


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of some pictures."""

    scores: Float[ndarray, "images"]
    maps: Float[ndarray, "images height width"]


def drift_record(
    expected: Answers, actual: Answers, anomalous: Sequence[bool | None]
) -> DriftRecord:
    """Compare INT8 with float32, picture by picture.

    Args:
        expected: Of the unfolded float32 model.
        actual: Of the INT8 graphs, on the same pictures.
        anomalous: Whether each picture shows a defect, where that is known.

    Raises:
        GateError: The maps' correlation, the scores or the image AUROC is beyond its bound, or an answer
            is not finite.
    """
    if not (np.isfinite(actual.scores).all() and np.isfinite(actual.maps).all()):
        raise GateError("drift gate (int8): an answer is not finite; nothing was written")
    known = [number for number, label in enumerate(anomalous) if label is not None]
    truth = np.array([anomalous[number] for number in known], bool)
    aurocs = [_auroc(truth, answers.scores[known]) for answers in (expected, actual)]
    apart = np.abs(expected.scores.astype(np.float64) - actual.scores)
    record = DriftRecord(
        precision="int8",
        runtime=f"onnxruntime {ort.__version__} CPU",
        images=len(anomalous),
        anomalous=int(truth.sum()) if known else None,
        map_correlation=_correlation(expected.maps, actual.maps),
        least_map_correlation=CORRELATION,
        score_mean=float(apart.mean()),
        score_mean_bound=SCORE,
        score_most=float(apart.max()),
        auroc_fp32=aurocs[0],
        auroc_int8=aurocs[1],
        auroc_bound=_auroc_bound(truth),
    )
    for problem in _problems(record):
        raise GateError(
            f"drift gate (int8): {problem} on {record.images} held-out pictures; collect ranges from more "
            "and more typical pictures, or use fp16; nothing was written"
        )
    return record


def _problems(record: DriftRecord) -> Iterator[str]:
    if not record.map_correlation >= record.least_map_correlation:
        yield (
            f"the maps' correlation with float32 is {record.map_correlation:.4f}, "
            f"the bound is {record.least_map_correlation}"
        )
    if not record.score_mean <= record.score_mean_bound:
        yield f"scores differ by {record.score_mean:.3f} in the mean, the bound is {record.score_mean_bound}"
    if record.auroc_fp32 is not None and record.auroc_int8 is not None:
        lost = record.auroc_fp32 - record.auroc_int8
        if not lost <= record.auroc_bound:
            yield f"image AUROC falls by {100 * lost:.2f} points, the bound is {100 * record.auroc_bound:.2f}"


def _correlation(first: Float[ndarray, "..."], second: Float[ndarray, "..."]) -> float:
    """Give Pearson's coefficient over all pixels of all maps; 1 for two equal constants, 0 for one constant."""
    a, b = (
        values.astype(np.float64).ravel() - values.mean(dtype=np.float64)
        for values in (first, second)
    )
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norms == 0.0:
        return float(np.array_equal(first, second))
    return float(a @ b / norms)


def _auroc(truth: ndarray, scores: Float[ndarray, "images"]) -> float | None:
    """Give the AUROC; None where pictures of one kind are missing."""
    return auroc(scores[~truth], scores[truth]) if truth.any() and not truth.all() else None


def _auroc_bound(truth: ndarray) -> float:
    """Allow at least one pair of pictures to change its order: fewer than 200 pairs show no half point."""
    pairs = int(truth.sum()) * int((~truth).sum())
    return max(AUROC, 1 / pairs) if pairs else AUROC
