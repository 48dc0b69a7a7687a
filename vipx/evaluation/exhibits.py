"""The pictures that a report shows: of each category the clearest answers and the worst ones."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Bool, Float32, UInt8
from numpy import ndarray

from vipx.evaluation.predictors import Answer
from vipx.evaluation.sources import Case
from vipx.training.data.samples import LoadedSample

__all__ = ["Exhibit", "Exhibition", "Role"]

Role = Literal["best found", "most missed", "worst false alarm", "quietest good"]


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One picture to show, at the model's input size; `mask` is None where pixel truth is unknown."""

    role: Role
    name: str
    defect: str | None
    score: float
    image: UInt8[ndarray, "height width 3"]
    anomaly_map: Float32[ndarray, "height width"]
    mask: Bool[ndarray, "height width"] | None


class Exhibition:
    """Keeps four pictures of a category while all of them pass by: a bounded amount of memory."""

    def __init__(self) -> None:
        self._kept: dict[Role, Exhibit] = {}

    def offer(self, case: Case, loaded: LoadedSample, answer: Answer) -> None:
        """Keep this picture if it is the highest or lowest of its kind so far."""
        high: Role = "best found" if loaded.label else "worst false alarm"
        low: Role = "most missed" if loaded.label else "quietest good"
        for role, sign in ((low, -1), (high, 1)):
            kept = self._kept.get(role)
            if kept is None or sign * answer.score > sign * kept.score:
                self._kept[role] = Exhibit(
                    role,
                    case.name,
                    case.defect,
                    answer.score,
                    loaded.image,
                    answer.anomaly_map,
                    loaded.mask,
                )

    def exhibits(self) -> tuple[Exhibit, ...]:
        """Give what was kept, the worst answers first; a picture that is both worst and best, once."""
        order: tuple[Role, ...] = (
            "most missed",
            "worst false alarm",
            "best found",
            "quietest good",
        )
        shown: dict[str, Exhibit] = {}
        for role in order:
            if role in self._kept:
                shown.setdefault(self._kept[role].name, self._kept[role])
        return tuple(shown.values())
