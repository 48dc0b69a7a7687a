"""One inspection as it is kept, and what the store answers for it."""

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal, get_args

from jaxtyping import UInt8
from numpy import ndarray

from vipx.errors import UsageError
from vipx.runtime.server.work.task import Region
from vipx.verdict import Verdict

Label = Literal["true_ng", "false_ng", "true_ok", "false_ok"]
LABELS: tuple[Label, ...] = get_args(Label)
# What every row, table and message of a result begins with, in this order.
JUDGED = (
    "seq",
    "result_id",
    "time",
    "recipe",
    "part_id",
    "verdict",
    "score",
    "threshold",
    "review",
    "reason",
)

# Crockford's alphabet: no I, L, O, U, so that an id survives being read aloud.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS = 80
_ULID_LENGTH = 26


class UlidSource:
    """Makes ULIDs that rise within a process even if the clock is set back; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def make(self, now_ms: int | None = None) -> str:
        """Give a new id: 48 bits of UTC milliseconds, 80 random bits, 26 characters."""
        stamp = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        number = (stamp << _RANDOM_BITS) | int.from_bytes(os.urandom(_RANDOM_BITS // 8), "big")
        with self._lock:
            self._last = max(number, self._last + 1)
            return _text(self._last)


_ULIDS = UlidSource()


def new_result_id() -> str:
    """Give a new ULID: unique, and rising with time within this process."""
    return _ULIDS.make()


def is_result_id(text: str) -> bool:
    """Tell whether a text that came from outside is a ULID, and so harmless in a path."""
    return len(text) == _ULID_LENGTH and all(letter in _ALPHABET for letter in text)


def _text(number: int) -> str:
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


@dataclass(frozen=True, slots=True)
class Record:
    """One inspection, as it is handed to the store.

    Attributes:
        result_id: ULID; see `new_result_id`.
        time: UTC milliseconds since 1970.
        recipe: Which recipe answered.
        part_id: What the caller calls the part; any text.
        verdict: What the line was told.
        score: None where there is none (ERROR).
        threshold: Scores from here on were NG.
        review: Scores from here on were REVIEW.
        reason: The verdict's reason in one sentence.
        regions: Where the defects are, in pixels of the original picture.
        microseconds: Time of each step.
        source: Where the picture came from: `http`, `page`, `folder:NAME`, `camera:NAME`.
        image: The picture as received (PNG, JPEG, BMP or TIFF), or None.
        frame: RGB pixels, where they came instead of a picture; kept as a PNG that follows the row.
        heat_map: The raw anomaly map as an 8-bit PNG (`pictures.heat_map_png`), or None.
        engine: Which engine answered.
        identity: sha256 of the bundle's manifest.
    """

    result_id: str
    time: int
    recipe: str
    part_id: str
    verdict: Verdict
    score: float | None
    threshold: float | None
    reason: str
    regions: tuple[Region, ...] = ()
    microseconds: Mapping[str, int] = field(default_factory=dict)
    source: str = "http"
    image: bytes | None = None
    heat_map: bytes | None = None
    review: float | None = None
    engine: str = ""
    identity: str = ""
    frame: UInt8[ndarray, "height width 3"] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not is_result_id(self.result_id):
            raise UsageError(f"result_id: expected a ULID, got {self.result_id!r}")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What `Store.append` answers.

    Attributes:
        seq: Rises with every inspection, over restarts and clock jumps; it may skip numbers.
        stored: Whether row and files are committed; False says that the result lives only in this answer.
    """

    seq: int
    stored: bool


@dataclass(frozen=True, slots=True)
class Result:
    """A kept inspection.

    Attributes:
        record: What was recorded, without the bytes of its pictures.
        seq: Its number.
        image: Path of the picture relative to the store's folder, or None.
        heat_map: Path of the map, or None.
        label: What a person said of the verdict.
        labelled_by: Who.
        calibration: Whether it was picked for the calibration set.
    """

    record: Record
    seq: int
    image: str | None = None
    heat_map: str | None = None
    label: Label | None = None
    labelled_by: str = ""
    calibration: bool = False

    @property
    def utc(self) -> str:
        """Give the time as ISO 8601 with milliseconds, in UTC."""
        return iso_time(self.record.time)


def iso_time(milliseconds: int) -> str:
    """Give UTC milliseconds as ISO 8601."""
    moment = datetime.fromtimestamp(milliseconds / 1000, tz=timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
