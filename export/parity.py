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
from vipx.errors import GateError, short_reason
from vipx.export.onnx_file import ENCODER, HEADS_OUTPUTS, PROMPTS
from vipx.manifest import Difference, ParityRecord, Precision, Statistic
from vipx.training.methods.method import Prediction

Arrays = Mapping[str, ndarray]
Run = Literal["chain", "batch", "alone"]


@dataclass(frozen=True, slots=True)
class GraphFiles:
    """The graphs of one precision.

    `texts` is the graph `prompts.onnx`, or the array of text embeddings where no image changes them.
    """

    encoder: Path
    texts: Path
    heads: Path

    @property
    def conditioned(self) -> bool:
        """Whether the texts come from a graph."""
        return self.texts.suffix == ".onnx"


class Chain:
    """Runs the graphs of one precision one after the other."""

    def __init__(self, files: GraphFiles) -> None:
        self._encoder = _session(files.encoder)
        self._prompts = _session(files.texts) if files.conditioned else None
        self._constant = None if files.conditioned else np.load(files.texts, allow_pickle=False)
        self._heads = _session(files.heads)

    def __call__(self, images: UInt8[ndarray, "batch height width 3"]) -> dict[str, ndarray]:
        """Run encoder, prompts and heads."""
        values = _run(self._encoder, ENCODER.outputs, {"image": images})
        return values | self.tail(values)

    def tail(self, values: Arrays, *, reference: bool = False) -> dict[str, ndarray]:
        """Run prompts and heads on an encoder's output; the heads on the reference's texts if asked."""
        texts = self._texts(values["global_feature"])
        feeds = dict(values) if reference else dict(values) | texts
        names = [one.name for one in self._heads.get_inputs()]
        return texts | _run(self._heads, HEADS_OUTPUTS, {name: feeds[name] for name in names})

    def _texts(self, global_feature: Float[ndarray, "batch dim"]) -> dict[str, ndarray]:
        if self._prompts is not None:
            return _run(self._prompts, PROMPTS.outputs, {"global_feature": global_feature})
        assert self._constant is not None
        repeated = np.repeat(self._constant[None], len(global_feature), axis=0)
        return {"text_embeddings": repeated}


# What is compared: output, statistic of the absolute difference, bound. Vectors have unit length, scores and
# maps lie in [0, 1]. The float32 bounds are those at which TensorRT, ONNX Runtime and PyTorch count as equal;
# the float16 ones are a tenth of what a threshold can tell apart, the INT8 ones what it just can (shared notes
# edge.md 6.9).
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
    "int8": (
        ("score", "max", 2e-2),
        ("anomaly_map", "mean", 1e-2),
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
    chain = Chain(files)
    singles = [chain(image[None]) for image in images]
    stacked = {name: np.concatenate([one[name] for one in singles]) for name in singles[0]}
    differences = [
        *_compare(_CHAIN[precision], expected, stacked, "chain"),
        *_compare(_CHAIN[precision], expected, chain(images), "batch"),
        *_compare(_ALONE, expected, chain.tail(expected, reference=True), "alone"),
    ]
    _judge(differences, precision)
    return ParityRecord(
        precision=precision,
        runtime=f"onnxruntime {ort.__version__} CPU",
        differences=tuple(differences),
    )


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors; a GPU machine without drivers warns otherwise
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # onnxruntime raises its own types, none of which is public.
        reason = short_reason(error)
        raise GateError(f"{path.name}: ONNX Runtime refuses the graph: {reason}") from error


def _run(
    session: ort.InferenceSession, outputs: tuple[str, ...], feeds: Arrays
) -> dict[str, ndarray]:
    return dict(zip(outputs, session.run(list(outputs), dict(feeds)), strict=True))


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


# What is beyond rounding in float32 is a fault of vipx or of this ONNX Runtime, not of the user's.
_REMEDIES: dict[Precision, str] = {
    "fp32": "report it with the checkpoint's `vipx show` and the versions of `vipx doctor`",
    "fp16": "these weights do not suit half precision: export fp32",
    "int8": "collect ranges from more and more typical pictures, or use fp16",
}


def _judge(differences: list[Difference], precision: Precision) -> None:
    failed = [d for d in differences if d.measured > d.bound]
    if failed:
        worst = max(failed, key=lambda d: d.measured / d.bound)
        raise GateError(
            f"parity gate ({precision}): {worst.output} ({worst.statistic}, {worst.run}) "
            f"differs by {worst.measured:.2e}, the bound is {worst.bound:.0e}; {_REMEDIES[precision]}; "
            "nothing was written"
        )
