"""The parity gate: ONNX Runtime runs every graph, and must give what the unfolded PyTorch model gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
from jaxtyping import Float, UInt8
from numpy import ndarray

from vipx.differences import measure
from vipx.errors import GateError
from vipx.export.onnx_file import ENCODER, HEADS, PROMPTS
from vipx.manifest import Difference, ParityRecord, Precision, Statistic
from vipx.training.methods.vip2clip.method import Prediction

Arrays = Mapping[str, ndarray]
Run = Literal["chain", "batch", "alone"]


@dataclass(frozen=True, slots=True)
class GraphFiles:
    """The three graphs of one precision."""

    encoder: Path
    prompts: Path
    heads: Path


# What is compared: output, statistic of the absolute difference, bound. Vectors have unit length, scores and
# maps lie in [0, 1]. The float32 bounds are those at which TensorRT, ONNX Runtime and PyTorch count as equal;
# the float16 ones are a tenth of what a threshold can tell apart (shared notes edge.md 6.9).
_Bound = tuple[str, Statistic, float]
_CHAIN: dict[Precision, tuple[_Bound, ...]] = {
    "fp32": (
        ("global_feature", "max", 5e-5),
        ("patch_features", "max", 5e-5),
        ("text_embeddings", "max", 5e-5),
        ("score", "max", 1e-5),
        ("patch_map", "max", 1e-4),
        ("anomaly_map", "max", 1e-4),
    ),
    "fp16": (
        ("score", "max", 5e-3),
        ("anomaly_map", "mean", 1e-3),
        ("anomaly_map", "p99.9", 2e-2),
    ),
}
_ALONE: tuple[_Bound, ...] = (
    ("text_embeddings", "max", 5e-5),
    ("score", "max", 1e-5),
    ("anomaly_map", "max", 1e-4),
)


def parity_record(
    files: GraphFiles,
    precision: Precision,
    images: UInt8[ndarray, "batch height width 3"],
    reference: Prediction,
) -> ParityRecord:
    """Run the graphs on the golden images and compare with the reference.

    The chain encoder -> prompts -> heads is run on each image alone and on all of them as one batch. Prompts
    and heads are also run alone, on the reference's features, so that an error is found where it arises.

    Raises:
        GateError: A difference exceeds its bound, or is not a number.
    """
    expected = _expected(reference)
    session = {name: _session(path) for name, path in _named(files)}
    singles = [_chain(session, image[None]) for image in images]
    stacked = {name: np.concatenate([one[name] for one in singles]) for name in singles[0]}
    differences = [
        *_compare(_CHAIN[precision], expected, stacked, "chain"),
        *_compare(_CHAIN[precision], expected, _chain(session, images), "batch"),
        *_compare(_ALONE, expected, _alone(session, reference), "alone"),
    ]
    _judge(differences, precision)
    return ParityRecord(
        precision=precision,
        runtime=f"onnxruntime {ort.__version__} CPU",
        differences=tuple(differences),
    )


def _named(files: GraphFiles) -> tuple[tuple[str, Path], ...]:
    return ("encoder", files.encoder), ("prompts", files.prompts), ("heads", files.heads)


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors; a GPU machine without drivers warns otherwise
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # onnxruntime raises its own types, none of which is public.
        reason = " ".join(str(error).split())[:200]
        raise GateError(f"{path.name}: ONNX Runtime refuses the graph: {reason}") from error


def _run(
    session: ort.InferenceSession, outputs: tuple[str, ...], feeds: Arrays
) -> dict[str, ndarray]:
    return dict(zip(outputs, session.run(list(outputs), dict(feeds)), strict=True))


def _chain(
    session: Mapping[str, ort.InferenceSession], images: UInt8[ndarray, "batch height width 3"]
) -> dict[str, ndarray]:
    values = _run(session["encoder"], ENCODER.outputs, {"image": images})
    values |= _run(
        session["prompts"], PROMPTS.outputs, {"global_feature": values["global_feature"]}
    )
    return values | _run(
        session["heads"], HEADS.outputs, {name: values[name] for name in HEADS.inputs}
    )


def _alone(
    session: Mapping[str, ort.InferenceSession], reference: Prediction
) -> dict[str, ndarray]:
    prompts = _run(
        session["prompts"], PROMPTS.outputs, {"global_feature": reference.global_feature}
    )
    feeds = {name: getattr(reference, name) for name in HEADS.inputs}
    return prompts | _run(session["heads"], HEADS.outputs, feeds)


def _expected(reference: Prediction) -> dict[str, Float[ndarray, "..."]]:
    return {
        "global_feature": reference.global_feature,
        "patch_features": reference.patch_features,
        "text_embeddings": reference.text_embeddings,
        "score": reference.scores,
        "patch_map": reference.patch_maps,
        "anomaly_map": reference.anomaly_maps,
    }


def _compare(
    bounds: tuple[_Bound, ...], expected: Arrays, actual: Arrays, run: Run
) -> list[Difference]:
    compared = []
    for output, statistic, bound in bounds:
        measured = measure(expected[output], actual[output], statistic)
        # The manifest holds finite numbers only; a missing or infinite one fails here.
        if not np.isfinite(measured):
            raise GateError(f"parity gate: {output} ({run}) is not finite; nothing was written")
        compared.append(
            Difference(output=output, statistic=statistic, run=run, measured=measured, bound=bound)
        )
    return compared


def _judge(differences: list[Difference], precision: Precision) -> None:
    failed = [d for d in differences if d.measured > d.bound]
    if failed:
        worst = max(failed, key=lambda d: d.measured / d.bound)
        raise GateError(
            f"parity gate ({precision}): {worst.output} ({worst.statistic}, {worst.run}) "
            f"differs by {worst.measured:.2e}, the bound is {worst.bound:.0e}; nothing was written"
        )
