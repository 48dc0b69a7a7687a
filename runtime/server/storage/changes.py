"""Changes of rows that people and sinks make; each runs on the writer's thread, in a transaction of its own."""

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from vipx.errors import InputError, UsageError
from vipx.runtime.server.storage.reader import ThresholdVersion
from vipx.runtime.server.storage.record import LABELS, Label
from vipx.verdict import check_threshold

_LONGEST_REASON = 2000


class ResultNotFoundError(InputError):
    """There is no result with this id, or no longer."""


class VersionConflictError(UsageError):
    """Somebody else saved thresholds for this recipe meanwhile."""


@dataclass(frozen=True, slots=True)
class ThresholdChange:
    """New thresholds for a recipe.

    Attributes:
        recipe: Its name.
        base: The version that the person looked at; 0 for the recipe's own thresholds.
        threshold: Scores from here on are NG.
        review: Scores from here on are REVIEW; None for no such band.
        who: The person.
        why: The reason, in the person's words.
        applies_to: Hash of the recipe as the server was started with it; after a new calibration it differs,
            and no saved version applies.
    """

    recipe: str
    base: int
    threshold: float
    review: float | None
    who: str
    why: str
    applies_to: str = ""

    def __post_init__(self) -> None:
        check_threshold(self.threshold)
        if self.review is not None and not check_threshold(self.review) <= self.threshold:
            raise UsageError(f"review: expected at most the threshold, got {self.review}")
        if not self.why.strip() or len(self.why) > _LONGEST_REASON:
            raise UsageError(f"why: expected 1 to {_LONGEST_REASON} characters; say why it changes")


def now_ms() -> int:
    """Give UTC milliseconds."""
    return time.time_ns() // 1_000_000


def write_audit(
    connection: sqlite3.Connection, who: str, action: str, subject: str, detail: str
) -> None:
    """Add an entry to the audit; there is no way to change one."""
    insert = "INSERT INTO audit (time, who, action, subject, detail) VALUES (?, ?, ?, ?, ?)"
    connection.execute(insert, (now_ms(), who, action, subject, detail))


def label_result(
    connection: sqlite3.Connection, result_id: str, label: Label | None, who: str
) -> None:
    """Set what a person says of a verdict.

    Raises:
        UsageError: There is no such label.
        ResultNotFoundError: There is no such result.
    """
    if label is not None and label not in LABELS:
        raise UsageError(f"label: expected one of {', '.join(LABELS)}, got {label!r}")
    update = "UPDATE results SET label = ?, labelled_by = ?, labelled_at = ? WHERE result_id = ?"
    _expect_one(connection.execute(update, (label, who, now_ms(), result_id)), result_id)
    write_audit(connection, who, "label", result_id, label or "none")


def pick_for_calibration(
    connection: sqlite3.Connection, result_id: str, picked: bool, who: str
) -> None:
    """Put a result into the calibration set, or take it out.

    Raises:
        ResultNotFoundError: There is no such result.
    """
    update = "UPDATE results SET calibration = ? WHERE result_id = ?"
    _expect_one(connection.execute(update, (int(picked), result_id)), result_id)
    write_audit(connection, who, "calibration", result_id, "picked" if picked else "taken out")


def save_thresholds(connection: sqlite3.Connection, change: ThresholdChange) -> ThresholdVersion:
    """Save a new version, with its entry in the audit.

    Raises:
        VersionConflictError: The version that the person looked at is not the newest.
    """
    newest = _newest_version(connection, change)
    version = ThresholdVersion(
        change.recipe,
        newest + 1,
        now_ms(),
        change.who,
        change.why.strip(),
        change.threshold,
        change.review,
        change.applies_to,
    )
    connection.execute(
        "INSERT INTO thresholds VALUES (:recipe, :version, :time, :who, :why, :threshold, :review, "
        ":applies_to, :withdrawn)",
        asdict(version),
    )
    write_audit(connection, version.who, "thresholds", _name(version), _detail(version))
    return version


def _newest_version(connection: sqlite3.Connection, change: ThresholdChange) -> int:
    """Give the newest number of all, after looking whether the person saw the newest that is in force."""
    newest, active = connection.execute(
        "SELECT IFNULL(MAX(version), 0), "
        "IFNULL(MAX(version) FILTER (WHERE withdrawn = '' AND applies_to = ?2), 0) "
        "FROM thresholds WHERE recipe = ?1",
        (change.recipe, change.applies_to),
    ).fetchone()
    if change.base != active:
        raise VersionConflictError(
            f"{change.recipe}: version {active} was saved meanwhile; load the page again and compare"
        )
    return int(newest)


def withdraw_thresholds(
    connection: sqlite3.Connection, version: ThresholdVersion, reason: str
) -> None:
    """Mark a version as not in force, because the engine did not take it."""
    connection.execute(
        "UPDATE thresholds SET withdrawn = ? WHERE recipe = ? AND version = ?",
        (reason, version.recipe, version.version),
    )
    write_audit(connection, version.who, "thresholds withdrawn", _name(version), reason)


def remove_messages(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    """Remove messages that were delivered."""
    connection.executemany("DELETE FROM outbox WHERE id = ?", [(number,) for number in numbers])


def _name(version: ThresholdVersion) -> str:
    return f"{version.recipe} v{version.version}"


def _detail(version: ThresholdVersion) -> str:
    review = "none" if version.review is None else f"{version.review:.6f}"
    return f"threshold {version.threshold:.6f}, review {review}: {version.why}"


def _expect_one(cursor: sqlite3.Cursor, result_id: str) -> None:
    if cursor.rowcount != 1:
        raise ResultNotFoundError(f"{result_id}: no such result; it may have been removed by age")
