"""Folds the prompts for a product: one pair of text embeddings for all of its images, and what that changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray
from scipy import stats

from vipx.bundle import Bundle
from vipx.calibration.collection.measurement import Measurement
from vipx.errors import GateError, UsageError
from vipx.recipe import ArrayRecord, FoldRecord
from vipx.runtime.engines.onnxruntime import Session, load_onnxruntime
from vipx.runtime.region import spread_matrices

# With texts 1.7 apart and a temperature of 0.07, a turn by this cosine can move a patch by 3 logits at worst.
SMALLEST_COSINE = 0.99
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class FoldedTexts:
    """Text embeddings for a product.

    Attributes:
        texts: What the prompts graph gives for the mean of the images' global features.
        cosines: Of each image's own text direction (abnormal minus normal) with the folded one.
    """

    texts: Float32[ndarray, "texts dim"]
    cosines: Float64[ndarray, " images"]


def folded_texts(bundle: Bundle, good: Sequence[Measurement]) -> FoldedTexts:
    """Run the prompts graph on the mean feature, brought back to unit length as the encoder gives it.

    Raises:
        UsageError: The bundle's texts are constant already.
        GateError: The images are so different that their own texts point elsewhere; it names them.
    """
    if bundle.manifest.graphs.prompts is None:
        raise UsageError(f"{bundle.path}: its texts are the same for all images; nothing to fold")
    features = np.stack([one.feature for one in good])  # (images, dim)
    mean = features.mean(axis=0, dtype=np.float64)
    graph = Session(bundle.path / bundle.manifest.graphs.prompts)
    texts = _texts(graph, (mean / np.linalg.norm(mean)).astype(np.float32))
    direction = texts[1] - texts[0]
    cosines = np.array([_cosine(direction, _texts(graph, each)) for each in features])
    _check(good, cosines)
    return FoldedTexts(texts, cosines)


def fold_record(
    folded: FoldedTexts,
    bundle: Bundle,
    exact: Sequence[Measurement],
    after: Sequence[Measurement],
) -> FoldRecord:
    """Say what folding changed on the good images, each measured before and after."""
    manifest = bundle.manifest
    rows, columns = spread_matrices(manifest)
    scores = np.array([(a.score, b.score) for a, b in zip(exact, after, strict=True)])
    largest = 0.0
    for one, other in zip(exact, after, strict=True):
        # The heat map is linear in the patch map.
        change = rows @ (other.patch_map - one.patch_map) @ columns.T
        largest = max(largest, float(np.abs(change).max()))
    graph = manifest.graphs.prompts
    names = (graph, f"{graph}.data")
    return FoldRecord(
        texts=ArrayRecord.of(folded.texts),
        images=len(exact),
        smallest_cosine=float(folded.cosines.min()),
        score_difference=float(np.abs(scores[:, 1] - scores[:, 0]).max()),
        map_difference=largest,
        rank_correlation=_rank_correlation(scores[:, 0], scores[:, 1]),
        auroc=None,
        milliseconds=median(one.prompts_ms for one in exact),
        graph_bytes=sum(manifest.files[name].size for name in names if name in manifest.files),
    )


def _texts(graph: Session, feature: Float32[ndarray, " dim"]) -> Float32[ndarray, "texts dim"]:
    value = load_onnxruntime().OrtValue.ortvalue_from_numpy(np.ascontiguousarray(feature[None]))
    texts: Float32[ndarray, "texts dim"] = graph.run({"global_feature": value})[
        "text_embeddings"
    ].numpy()[0]
    return texts


def _cosine(direction: Float32[ndarray, " dim"], texts: Float32[ndarray, "texts dim"]) -> float:
    own = (texts[1] - texts[0]).astype(np.float64)
    return float(own @ direction / np.linalg.norm(own) / np.linalg.norm(direction))


def _check(good: Sequence[Measurement], cosines: Float64[ndarray, " images"]) -> None:
    far = [place for place in np.argsort(cosines) if not cosines[place] >= SMALLEST_COSINE]
    if not far:
        return
    shown = ", ".join(f"{good[place].name} ({cosines[place]:.3f})" for place in far[:_SHOWN])
    more = f" and {len(far) - _SHOWN} more" if len(far) > _SHOWN else ""
    raise GateError(
        f"the good images are too different to share one pair of texts: {shown}{more} have a text "
        f"direction with a cosine below {SMALLEST_COSINE} to the folded one; leave them out, or "
        "calibrate without --fold-prompts"
    )


def _rank_correlation(
    first: Float64[ndarray, " images"], second: Float64[ndarray, " images"]
) -> float | None:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(stats.spearmanr(first, second).statistic)
