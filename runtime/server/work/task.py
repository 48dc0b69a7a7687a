"""What the server asks of an engine for one part, and what comes back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float32, UInt8
from numpy import ndarray

from vipx.errors import UsageError
from vipx.runtime.server.settings import KeepMaps
from vipx.verdict import Verdict

Priority = Literal["line", "page"]


@dataclass(frozen=True, slots=True)
class Task:
    """One image to inspect.

    Attributes:
        recipe: Whose thresholds and texts judge it.
        image: The bytes of a PNG, JPEG, BMP or TIFF file, or RGB pixels. Not copied, so not to be
            changed before the answer.
        priority: `line` goes first, and a full queue gives up a `page` task for it.
        deadline_s: How long it may wait for the engine before it is answered TooLate.
        maps: With which verdicts the anomaly map comes too.
        part_id: The line's own name of the part; it stands in messages.
    """

    recipe: str
    image: bytes | UInt8[ndarray, "height width 3"] = field(repr=False)
    priority: Priority = "line"
    deadline_s: float = 0.5
    maps: KeepMaps = "none"
    part_id: str = ""

    def __post_init__(self) -> None:
        if not self.deadline_s > 0:
            raise UsageError(f"deadline: expected seconds above 0, got {self.deadline_s}")


def wants_map(maps: KeepMaps, verdict: Verdict) -> bool:
    """Tell whether the anomaly map of such a result is wanted."""
    return maps == "all" or (maps == "not-ok" and verdict is not Verdict.OK)


@dataclass(frozen=True, slots=True)
class Region:
    """A connected part of the heat map that stands out, in pixels of the original image.

    Attributes:
        x: Left edge.
        y: Upper edge.
        width: Of the box around it.
        height: Of the box around it.
        area: Pixels in it.
        peak: Highest value of the anomaly map in it.
    """

    x: int
    y: int
    width: int
    height: int
    area: int
    peak: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer for one image.

    Attributes:
        verdict: ERROR where the engine gave no answer, or one that cannot be right.
        score: Anomaly score in [0, 1]; None with ERROR.
        threshold: Scores from here on are NG, if the score decides.
        review: Scores from here on are REVIEW.
        reason: One sentence.
        regions: Where, the highest peak first; they show, and decide nothing.
        anomaly_map: At the model's input size; owned by the caller, and only if it was asked for.
        size: Height and width of the upright original; (0, 0) if it was never decoded.
        microseconds: `queue`, `preprocess`, `infer` and `postprocess`.
        engine: Which engine answered, in one line.
        identity: sha256 of the bundle's manifest.
    """

    verdict: Verdict
    score: float | None
    threshold: float | None
    review: float | None
    reason: str
    regions: tuple[Region, ...]
    anomaly_map: Float32[ndarray, "map_height map_width"] | None
    size: tuple[int, int]
    microseconds: Mapping[str, int]
    engine: str
    identity: str
