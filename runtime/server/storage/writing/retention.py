"""Removes what the retention rules no longer allow: a few rows at a time, the oldest first."""

import sqlite3
import time
from pathlib import Path

from vipx.runtime.server.storage.pictures import remove
from vipx.runtime.server.storage.settings import GIGABYTE, Retention, StorageSettings

_AT_ONCE = 100  # rows of one step: some 10 ms, so that no verdict waits long for its row
_DAY_MS = 86_400_000
_DAYS_LOOKED_AT = 2
_Row = tuple[int, str | None, str | None, int]  # seq, picture, map, bytes


def sweep_step(connection: sqlite3.Connection, settings: StorageSettings) -> bool:
    """Remove at most some rows and their files; tell whether more may have to go.

    Rows go first: a process killed in between leaves a file without row, never a row without file.

    Raises:
        sqlite3.Error: The database refuses.
    """
    for kind, rule in (("ok", settings.ok), ("ng", settings.ng)):
        rows = _beyond(connection, kind, rule)
        if rows:
            _remove(connection, settings.folder, rows)
            return True
    return _trim_outbox(connection, settings.outbox)


def _beyond(connection: sqlite3.Connection, kind: str, rule: Retention) -> list[_Row]:
    columns = f"SELECT seq, image, heat_map, bytes FROM results WHERE kind = '{kind}'"
    if rule.days is not None:
        limit = time.time_ns() // 1_000_000 - int(rule.days * _DAY_MS)
        old = f"{columns} AND time < ? ORDER BY time LIMIT {_AT_ONCE}"
        if rows := connection.execute(old, (limit,)).fetchall():
            return rows
    results, held = connection.execute(
        "SELECT results, bytes FROM totals WHERE kind = ?", (kind,)
    ).fetchone()
    many = 0 if rule.count is None else results - rule.count
    large = 0.0 if rule.gigabytes is None else held - rule.gigabytes * GIGABYTE
    if many <= 0 and large <= 0:
        return []
    rows = connection.execute(f"{columns} ORDER BY seq LIMIT {_AT_ONCE}").fetchall()
    return _first_beyond(rows, many, large)


def _first_beyond(rows: list[_Row], many: int, large: float) -> list[_Row]:
    """Take the oldest rows, as few as bring both excesses to nothing."""
    taken = []
    for row in rows:
        if many <= 0 and large <= 0:
            break
        taken.append(row)
        many, large = many - 1, large - row[3]
    return taken


def _remove(connection: sqlite3.Connection, root: Path, rows: list[_Row]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany("DELETE FROM results WHERE seq = ?", [(row[0],) for row in rows])
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    remove(root, [path for row in rows for path in row[1:3] if path])


def _trim_outbox(connection: sqlite3.Connection, most: int) -> bool:
    crowded = connection.execute(
        "SELECT sink, COUNT(*) - ? FROM outbox GROUP BY sink HAVING COUNT(*) > ?", (most, most)
    ).fetchall()
    for sink, excess in crowded:
        connection.execute(
            "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE sink = ? ORDER BY id LIMIT ?)",
            (sink, excess),
        )
        _count_dropped(connection, sink, excess)
    return False


def _count_dropped(connection: sqlite3.Connection, sink: str, number: int) -> None:
    connection.execute(
        "INSERT INTO numbers VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
        (f"dropped:{sink}", number),
    )


def remove_orphans(connection: sqlite3.Connection, root: Path) -> int:
    """Remove files of the newest days that no row names: a killed process leaves at most those.

    Returns:
        How many were removed.
    """
    removed = 0
    days = sorted((root / "data").glob("[0-9]*/[0-9]*/[0-9]*"))[-_DAYS_LOOKED_AT:]
    for day in days:
        for path in day.glob("*/*"):
            if path.is_file() and not _is_named(connection, path.relative_to(root).as_posix()):
                remove(root, [path.relative_to(root).as_posix()])
                removed += 1
    return removed


def _is_named(connection: sqlite3.Connection, relative: str) -> bool:
    result_id = relative.rsplit("/", 1)[1].split(".", 1)[0]
    row = connection.execute(
        "SELECT image, heat_map FROM results WHERE result_id = ?", (result_id,)
    ).fetchone()
    return row is not None and relative in row
