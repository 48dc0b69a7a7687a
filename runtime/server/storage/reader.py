"""Reads what is kept: by filter, by id, and in numbers for the threshold's histogram."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vipx.errors import ResourceError
from vipx.runtime.server.storage import database
from vipx.runtime.server.storage.record import Label, Result
from vipx.runtime.server.storage.rows import result_of
from vipx.verdict import Verdict

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Filter:
    """Which results; what is None does not restrict.

    Attributes:
        recipe: Its name.
        verdict: One of the four.
        part_id: Part of the part's id, exactly as written; case does not matter.
        since: UTC milliseconds, inclusive.
        until: UTC milliseconds, exclusive.
        least: Lowest score.
        most: Highest score.
        label: What a person said; `none` finds what nobody has looked at.
        calibration: Whether picked for the calibration set.
        before: Only lower numbers: the next page.
    """

    recipe: str | None = None
    verdict: Verdict | None = None
    part_id: str | None = None
    since: int | None = None
    until: int | None = None
    least: float | None = None
    most: float | None = None
    label: Label | str | None = None
    calibration: bool | None = None
    before: int | None = None


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """What the threshold's page needs of a result."""

    score: float
    verdict: Verdict
    label: Label | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what, when."""

    time: int
    who: str
    action: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class ThresholdVersion:
    """A pair of thresholds that somebody saved for a recipe, with the reason."""

    recipe: str
    version: int
    time: int
    who: str
    why: str
    threshold: float
    review: float | None
    applies_to: str = ""
    withdrawn: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """What is kept of one kind (`ok`: verdict OK; `ng`: all others)."""

    kind: str
    results: int
    bytes: int


class Reader:
    """Reads beside the writer, which never waits for it; safe from any thread.

    Every method raises ResourceError where the database cannot be read.
    """

    def __init__(self, folder: Path, busy_ms: int) -> None:
        self._path, self._busy_ms = folder / database.NAME, busy_ms

    def find(self, wanted: Filter, limit: int = 60) -> list[Result]:
        """Give the newest results that fit."""
        clause, values = _clause(wanted)
        query = f"SELECT * FROM results {clause} ORDER BY seq DESC LIMIT ?"
        return [result_of(row) for row in self._rows(query, (*values, limit))]

    def each(self, wanted: Filter) -> Iterator[Result]:
        """Give all that fit, the newest first, a few at a time, so that nothing is held open between."""
        before = wanted.before
        while True:
            page = self.find(replace(wanted, before=before), _AT_ONCE)
            yield from page
            if len(page) < _AT_ONCE:
                return
            before = page[-1].seq

    def count(self, wanted: Filter, most: int = 100_000) -> int:
        """Count what fits, up to a limit that keeps the answer quick."""
        clause, values = _clause(wanted)
        query = f"SELECT COUNT(*) FROM (SELECT 1 FROM results {clause} LIMIT ?)"
        return int(self._rows(query, (*values, most))[0][0])

    def get(self, result_id: str) -> Result | None:
        """Give one result."""
        found = self._rows("SELECT * FROM results WHERE result_id = ?", (result_id,))
        return result_of(found[0]) if found else None

    def scores(self, recipe: str, last: int) -> list[ScoreRow]:
        """Give the scores of a recipe's last results, the newest first; those without score are left out."""
        query = (
            "SELECT score, verdict, label FROM results "
            "WHERE recipe = ? AND score IS NOT NULL ORDER BY seq DESC LIMIT ?"
        )
        return [
            ScoreRow(row[0], Verdict(row[1]), row[2]) for row in self._rows(query, (recipe, last))
        ]

    def recipes(self) -> list[str]:
        """List the names of all recipes that have results."""
        return [row[0] for row in self._rows("SELECT DISTINCT recipe FROM results ORDER BY 1", ())]

    def audit(self, limit: int = 100) -> list[AuditEntry]:
        """Give the newest entries of the audit."""
        query = "SELECT time, who, action, subject, detail FROM audit ORDER BY id DESC LIMIT ?"
        return [AuditEntry(*row) for row in self._rows(query, (limit,))]

    def versions(self, recipe: str | None = None) -> list[ThresholdVersion]:
        """Give the versions of a recipe's thresholds, or of all recipes, the newest first."""
        query = (
            "SELECT recipe, version, time, who, why, threshold, review, applies_to, withdrawn "
            "FROM thresholds "
            "WHERE ?1 IS NULL OR recipe = ?1 ORDER BY time DESC, version DESC"
        )
        return [ThresholdVersion(*row) for row in self._rows(query, (recipe,))]

    def totals(self) -> list[Totals]:
        """Say how much is kept of each kind."""
        query = "SELECT kind, results, bytes FROM totals ORDER BY kind DESC"
        return [Totals(*row) for row in self._rows(query, ())]

    def outbox(self) -> dict[str, int]:
        """Say how many messages wait for each sink, and under `dropped:SINK` how many were given up."""
        waiting = self._rows("SELECT sink, COUNT(*) FROM outbox GROUP BY sink", ())
        dropped = self._rows("SELECT name, value FROM numbers WHERE name LIKE 'dropped:%'", ())
        return {row[0]: row[1] for row in [*waiting, *dropped]}

    def messages(self, sink: str, limit: int) -> list[tuple[int, str, str]]:
        """Give the oldest messages for a sink: number, result id, text."""
        query = "SELECT id, result_id, message FROM outbox WHERE sink = ? ORDER BY id LIMIT ?"
        return [(row[0], row[1], row[2]) for row in self._rows(query, (sink, limit))]

    def _rows(self, query: str, values: tuple[Any, ...]) -> list[sqlite3.Row]:
        with self._connected() as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(database.connect_to_read(self._path, busy_ms=self._busy_ms)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise ResourceError(
                f"{self._path}: cannot be read ({error}); check the disk"
            ) from error


_TESTS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("recipe", "recipe = ?", str),
    ("verdict", "verdict = ?", lambda verdict: verdict.value),
    ("part_id", "instr(lower(part_id), lower(?)) > 0", str),
    ("since", "time >= ?", int),
    ("until", "time < ?", int),
    ("least", "score >= ?", float),
    ("most", "score <= ?", float),
    ("label", "IFNULL(label, 'none') = ?", str),
    ("calibration", "calibration = ?", int),
    ("before", "seq < ?", int),
)


def _clause(wanted: Filter) -> tuple[str, tuple[Any, ...]]:
    """Make the condition; every value goes in as a parameter, none into the text."""
    given = [
        (test, convert(value))
        for name, test, convert in _TESTS
        if (value := getattr(wanted, name)) is not None
    ]
    clause = "WHERE " + " AND ".join(test for test, _ in given) if given else ""
    return clause, tuple(value for _, value in given)
