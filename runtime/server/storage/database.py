"""The store's SQLite file: how it is opened, and how older ones are brought up to date."""

import sqlite3
from pathlib import Path

from vipx.errors import ArtifactError

NAME = "results.sqlite"

_FIRST = """
CREATE TABLE results (
  seq INTEGER PRIMARY KEY,
  result_id TEXT NOT NULL UNIQUE,
  time INTEGER NOT NULL,
  recipe TEXT NOT NULL,
  part_id TEXT NOT NULL,
  verdict TEXT NOT NULL CHECK (verdict IN ('OK', 'NG', 'REVIEW', 'ERROR')),
  kind TEXT GENERATED ALWAYS AS (CASE verdict WHEN 'OK' THEN 'ok' ELSE 'ng' END) VIRTUAL,
  score REAL,
  threshold REAL,
  review REAL,
  reason TEXT NOT NULL,
  regions TEXT NOT NULL,
  microseconds TEXT NOT NULL,
  source TEXT NOT NULL,
  engine TEXT NOT NULL,
  identity TEXT NOT NULL,
  image TEXT,
  heat_map TEXT,
  bytes INTEGER NOT NULL,
  label TEXT,
  labelled_by TEXT NOT NULL DEFAULT '',
  labelled_at INTEGER,
  calibration INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX results_kind_time ON results (kind, time);
CREATE INDEX results_kind_seq ON results (kind, seq);
CREATE INDEX results_verdict ON results (verdict, seq);
CREATE INDEX results_recipe ON results (recipe, seq);
CREATE INDEX results_part ON results (part_id, seq);
CREATE INDEX results_time ON results (time);
CREATE TABLE totals (kind TEXT PRIMARY KEY, results INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO totals VALUES ('ok', 0, 0), ('ng', 0, 0);
CREATE TRIGGER results_come AFTER INSERT ON results BEGIN
  UPDATE totals SET results = results + 1, bytes = bytes + new.bytes
   WHERE kind = CASE new.verdict WHEN 'OK' THEN 'ok' ELSE 'ng' END;
END;
CREATE TRIGGER results_go AFTER DELETE ON results BEGIN
  UPDATE totals SET results = results - 1, bytes = bytes - old.bytes
   WHERE kind = CASE old.verdict WHEN 'OK' THEN 'ok' ELSE 'ng' END;
END;
CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO numbers VALUES ('seq', 0);
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  sink TEXT NOT NULL,
  result_id TEXT NOT NULL,
  message TEXT NOT NULL
);
CREATE INDEX outbox_sink ON outbox (sink, id);
CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  time INTEGER NOT NULL,
  who TEXT NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL
);
CREATE TABLE thresholds (
  recipe TEXT NOT NULL,
  version INTEGER NOT NULL,
  time INTEGER NOT NULL,
  who TEXT NOT NULL,
  why TEXT NOT NULL,
  threshold REAL NOT NULL,
  review REAL,
  applies_to TEXT NOT NULL,
  withdrawn TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (recipe, version)
);
"""
# One script for each step of user_version; a published one is never changed, a new one is appended.
_STEPS = (_FIRST,)


def connect(path: Path, *, busy_ms: int, full_sync: bool = False) -> sqlite3.Connection:
    """Open for writing, in WAL mode and brought up to date; for use by one thread at a time.

    Raises:
        ArtifactError: A newer vipx wrote the file.
        sqlite3.Error: The file cannot be opened, or is no database.
    """
    connection = sqlite3.connect(
        path, timeout=busy_ms / 1000, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if full_sync else 'NORMAL'}")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        _bring_up_to_date(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(path: Path, *, busy_ms: int) -> sqlite3.Connection:
    """Open for reading alone; rows come by name. The file must be there.

    In a folder that cannot be written, SQLite cannot make the file beside it through which readers and writers
    meet. Then the file is read as it lies there: nobody can be writing to it.

    Raises:
        sqlite3.Error: The file cannot be opened.
    """
    try:
        return _open_to_read(path, "mode=ro", busy_ms)
    except sqlite3.OperationalError:
        return _open_to_read(path, "immutable=1", busy_ms)


def _open_to_read(path: Path, mode: str, busy_ms: int) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=busy_ms / 1000,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("SELECT 1 FROM numbers").fetchone()  # it is opened at the first question
    except BaseException:
        connection.close()
        raise
    return connection


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(_STEPS):
        raise ArtifactError(
            f"{path}: was written by a newer vipx (its version is {version}, known are up to "
            f"{len(_STEPS)}); install that vipx, or give another folder"
        )
    for step, script in enumerate(_STEPS[version:], start=version + 1):
        # Within one transaction: a process killed here leaves the old version, whole.
        connection.executescript(
            f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {step}; COMMIT;"
        )
