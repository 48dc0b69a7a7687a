"""Outcomes as the tensors and the JSON that clients read."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from vipx.runtime.server.protocol.tensors import OutputTensor
from vipx.verdict import Verdict

# An ERROR has a number for JSON; as a tensor it is never sent, the request fails.
CODES: Final[Mapping[Verdict, int]] = MappingProxyType(
    {Verdict.OK: 0, Verdict.NG: 1, Verdict.REVIEW: 2, Verdict.ERROR: 3}
)


@runtime_checkable
class Judged(Protocol):
    """What an outcome must say to be sent."""

    @property
    def verdict(self) -> Verdict:
        """OK, NG or REVIEW."""

    @property
    def score(self) -> float | None:
        """Anomaly score in [0, 1]."""

    @property
    def threshold(self) -> float | None:
        """Scores from here on are NG; None if nobody set it."""

    @property
    def anomaly_map(self) -> Float32[ndarray, "height width"] | None:
        """At the model's size; None where it was not asked for."""


def output_tensors(outcomes: Sequence[Judged], *, with_map: bool) -> tuple[OutputTensor, ...]:
    """Stack outcomes as the outputs of a model; a threshold that nobody set is NaN.

    Args:
        outcomes: One for each image, none of them an ERROR.
        with_map: Whether `anomaly_map` is among the outputs.
    """
    nothing = float("nan")
    scores = [nothing if one.score is None else one.score for one in outcomes]
    limits = [nothing if one.threshold is None else one.threshold for one in outcomes]
    codes = np.array([[CODES[one.verdict]] for one in outcomes], np.uint8)
    tensors = [
        OutputTensor("score", "FP32", np.array(scores, np.float32)[:, None]),
        OutputTensor("verdict", "UINT8", codes),
        OutputTensor("threshold", "FP32", np.array(limits, np.float32)[:, None]),
    ]
    if with_map:
        maps = [one.anomaly_map for one in outcomes if one.anomaly_map is not None]
        tensors.append(OutputTensor("anomaly_map", "FP32", np.stack(maps)))
    return tuple(tensors)
