"""Knows files by their content, and remembers the hashes of those that did not change."""

import json
import time
from pathlib import Path
from typing import Any

from vipx.errors import InputError
from vipx.files import write_atomically
from vipx.hashing import file_sha256

RACY_SECONDS = 2.0
"""A file changed this recently may change again within the clock's tick, and is hashed again next time."""


class FileIdentities:
    """The sha256 of files. A hash is reused only if path, size, time, inode and device are what they were."""

    def __init__(self, memory: Path | None) -> None:
        """Read what was remembered; without a file everything is hashed."""
        self._memory = memory
        self._known: dict[str, list[Any]] = {} if memory is None else _read(memory)
        self._new: dict[str, list[Any]] = {}

    def sha256(self, path: Path) -> str:
        """Give the hash of a file's content.

        Raises:
            InputError: The file cannot be read.
        """
        try:
            where = str(path.resolve())
            before = _stamp(path)
            known = self._known.get(where)
            if known is not None and known[:-1] == before:
                return str(known[-1])
            digest = file_sha256(path)
            after = _stamp(path)
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror}); check the dataset"
            ) from error
        if before == after and time.time_ns() - after[1] > RACY_SECONDS * 1e9:
            self._new[where] = self._known[where] = [*after, digest]
        return digest

    def save(self) -> None:
        """Remember what was hashed, beside what other runs remembered meanwhile."""
        if self._memory is not None and self._new:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            merged = _read(self._memory) | self._new
            write_atomically(self._memory, json.dumps(merged).encode())
            self._new = {}


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev]


def _read(memory: Path) -> dict[str, list[Any]]:
    """Read remembered hashes; a file that is none is forgotten, as it only saves time."""
    try:
        loaded = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(loaded, dict):
        return {}
    return {name: one for name, one in loaded.items() if isinstance(one, list) and len(one) == 6}
