"""What the store keeps, for how long, and what happens when it cannot."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vipx.errors import UsageError

GIGABYTE = 10**9
OnStorageError = Literal["continue", "stop"]


@dataclass(frozen=True, slots=True)
class Retention:
    """How long results of one kind are kept; whichever limit is reached first counts.

    Attributes:
        days: Age; None keeps them for ever.
        gigabytes: Of their files together.
        count: Of results.
        sample: The pictures of one result in so many are kept; the row always is.
    """

    days: float | None = None
    gigabytes: float | None = None
    count: int | None = None
    sample: int = 1

    def __post_init__(self) -> None:
        for name in ("days", "gigabytes", "count"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UsageError(f"retention {name}: expected more than 0, got {value}")
        if self.sample < 1:
            raise UsageError(f"retention sample: expected at least 1, got {self.sample}")


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where and how results are kept.

    Attributes:
        folder: Holds `results.sqlite` and `data/`; made if it is not there.
        ok: Rule for results with the verdict OK.
        ng: Rule for all others: NG, REVIEW and ERROR.
        full_sync: Flush each commit, so that a power cut loses no acknowledged row; slower.
        on_error: `continue` inspects on with `stored: false`; `stop` refuses parts that cannot be traced.
        free_bytes: Below this nothing is stored.
        free_share: Below this share of the disk nothing is stored.
        pending: Most results that wait to be written; more are answered `stored: false`.
        patience_s: Longest wait for a commit.
        busy_ms: Longest wait for a database that another program has locked.
        sweep_s: Pause between two looks at the retention rules.
        outbox: Most messages that wait for one sink; the oldest are dropped beyond it, and counted.
    """

    folder: Path
    ok: Retention = field(default_factory=lambda: Retention(30.0, 20.0, 1_000_000))
    ng: Retention = field(default_factory=lambda: Retention(90.0, 50.0, 1_000_000))
    full_sync: bool = False
    on_error: OnStorageError = "continue"
    free_bytes: int = 2 * GIGABYTE
    free_share: float = 0.05
    pending: int = 64
    patience_s: float = 1.0
    busy_ms: int = 200
    sweep_s: float = 30.0
    outbox: int = 100_000
