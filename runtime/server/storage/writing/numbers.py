"""Sequence numbers that rise over restarts, kills and clock jumps."""

import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

from vipx.runtime.server.storage.database import connect_to_read

_AHEAD = 1000  # reserved at a time: a killed process skips at most so many


class Numbers:
    """Gives numbers without touching the disk; safe from any thread.

    The database holds the highest number that may have been given. It is raised well before it is reached,
    within commits that happen anyway, and set to the last given number when the store closes in peace.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._reserved = 0

    def give(self) -> int:
        """Give the next number."""
        with self._lock:
            self._last += 1
            return self._last

    def load(self, connection: sqlite3.Connection) -> None:
        """Go on behind whatever was given before, as the database knows it."""
        self._rise_to(_highest(connection))

    def load_readonly(self, path: Path) -> None:
        """Do the same for a database that can be read and not written; without one, begin at 1."""
        with suppress(sqlite3.Error), closing(connect_to_read(path, busy_ms=200)) as connection:
            self._rise_to(_highest(connection))

    def reserve(self, connection: sqlite3.Connection) -> None:
        """Raise the reservation where it runs short; within the caller's transaction, or on its own."""
        with self._lock:
            if self._last + _AHEAD // 2 <= self._reserved:
                return
            wanted = self._last + _AHEAD
        connection.execute("UPDATE numbers SET value = ? WHERE name = 'seq'", (wanted,))
        self._reserved = wanted

    def stir(self, connection: sqlite3.Connection) -> None:
        """Change the reservation by the least, to see whether the database can be written.

        It rises, as a smaller one could be given twice; the same one SQLite would not write at all.
        """
        connection.execute("UPDATE numbers SET value = value + 1 WHERE name = 'seq'")

    def release(self, connection: sqlite3.Connection) -> None:
        """Give back what was reserved and not used, so that a restart in peace skips nothing."""
        with self._lock:
            last = self._last
        connection.execute("UPDATE numbers SET value = ? WHERE name = 'seq'", (last,))

    def _rise_to(self, number: int) -> None:
        with self._lock:
            self._last = max(self._last, number)


def _highest(connection: sqlite3.Connection) -> int:
    query = (
        "SELECT MAX((SELECT value FROM numbers WHERE name = 'seq'), "
        "IFNULL((SELECT MAX(seq) FROM results), 0))"
    )
    return int(connection.execute(query).fetchone()[0])
