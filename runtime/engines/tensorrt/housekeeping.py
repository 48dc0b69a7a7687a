"""Lists and removes built engines; needs neither a GPU nor TensorRT."""

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vipx.runtime.engines.tensorrt.cache import (
    APPROVED,
    PLAN,
    RECORD,
    Cache,
    Unusable,
    read_own,
    unseal,
)

_KEY = re.compile(r"[0-9a-f]{16}")
_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One built engine.

    Attributes:
        key: What it is found by.
        size: Bytes on the disk.
        days: Since it was built.
        fault: Why it is never loaded; None if it is as it was built.
        role: Its place in a model.
        bundle: The bundle that it was first built for.
        batch: Images of one run.
        tensorrt: The version that built it and can run it.
        gpu: The device, likewise.
    """

    key: str
    size: int
    days: float
    fault: str | None = None
    role: str = ""
    bundle: str = ""
    batch: int = 0
    tensorrt: str = ""
    gpu: str = ""


def list_engines(cache: Cache) -> tuple[Entry, ...]:
    """List all engines, the oldest first, each one's bytes checked."""
    return tuple(sorted(map(_entry, _folders(cache)), key=lambda entry: -entry.days))


def prune_engines(
    cache: Cache, older_than: float | None, *, everything: bool, report: Callable[[str], None]
) -> tuple[Entry, ...]:
    """Remove engines, and give what was removed. Those that are never loaded always go.

    Args:
        cache: Where they are.
        older_than: Days; older engines go too.
        everything: All go, and what the builder measured with them.
        report: Told whom this waits for.
    """
    with cache.lock(report):
        removed = tuple(
            entry
            for entry in list_engines(cache)
            if everything
            or entry.fault is not None
            or (older_than is not None and entry.days > older_than)
        )
        for entry in removed:
            _remove(cache.folder(entry.key))
        for leftover in cache.root.glob(
            ".*.partial-*"
        ):  # of builders that were killed: the lock is ours
            shutil.rmtree(leftover, ignore_errors=True)
        if everything:
            shutil.rmtree(cache.root / "timings", ignore_errors=True)
        _forget_approvals(cache)
    return removed


def _remove(path: Path) -> None:
    """Remove a folder, or the link or file that someone put in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _folders(cache: Cache) -> Iterator[Path]:
    return (path for path in cache.root.iterdir() if _KEY.fullmatch(path.name))


def _entry(folder: Path) -> Entry:
    days = max(0.0, time.time() - folder.lstat().st_mtime) / _DAY
    size = sum(path.lstat().st_size for path in folder.iterdir()) if folder.is_dir() else 0
    try:
        record = unseal(read_own(folder / RECORD))
        if hashlib.sha256(read_own(folder / PLAN)).hexdigest() != record["plan_sha256"]:
            raise Unusable(f"{folder / PLAN}: was changed since it was built")
    except Unusable as reason:
        return Entry(folder.name, size, days, fault=str(reason))
    facts: dict[str, Any] = record["facts"]
    return Entry(
        key=folder.name,
        size=size,
        days=days,
        role=record["role"],
        bundle=record["bundle"],
        batch=facts["batch"],
        tensorrt=facts["environment"]["tensorrt"],
        gpu=facts["environment"]["gpu"],
    )


def _forget_approvals(cache: Cache) -> None:
    """Remove the approvals of engines that are gone."""
    for path in (cache.root / APPROVED).glob("*.json"):
        keys: list[str] = []
        with suppress(Unusable):
            keys = list(unseal(read_own(path))["plans"].values())
        if not keys or not all(cache.folder(key).is_dir() for key in keys):
            path.unlink()
