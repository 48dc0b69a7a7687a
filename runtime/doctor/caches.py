"""Looks at the engines that were built on this machine, without running any of them."""

import hashlib
import os
import stat
from pathlib import Path

from vipx.manifest import Record
from vipx.runtime.engines.tensorrt.cache import (
    APPROVED,
    PLAN,
    RECORD,
    TIMINGS,
    Unusable,
    default_root,
    unseal,
)

_OTHERS = 0o077


class CacheCheck(Record):
    """The folder of built engines.

    Attributes:
        folder: Where it is.
        engines: How many lie there as they were built.
        size: Their bytes.
        faults: What is not as it was built, and is never used.
    """

    folder: str
    engines: int
    size: int
    faults: tuple[str, ...]


def check_cache(root: Path | None = None) -> CacheCheck | None:
    """Check owner, permissions and hashes of every built engine; None where none was ever built."""
    folder = root or default_root()
    if not folder.is_dir():
        return None
    faults = [reason] if (reason := _foreign(folder)) else []
    size = count = 0
    kept = (APPROVED, TIMINGS)
    for place in sorted(p for p in folder.iterdir() if p.is_dir() and p.name not in kept):
        reason = _fault(place)
        if reason is None:
            count, size = count + 1, size + (place / PLAN).stat().st_size
        else:
            faults.append(f"{place.name}: {reason}")
    return CacheCheck(folder=str(folder), engines=count, size=size, faults=tuple(faults))


def _fault(place: Path) -> str | None:
    """Say why an engine would not be used; None if nothing speaks against it."""
    try:
        record = unseal((place / RECORD).read_bytes())
        digest = hashlib.sha256((place / PLAN).read_bytes()).hexdigest()
    except OSError as error:
        return f"is not whole ({error.strerror})"
    except Unusable as reason:
        return str(reason)
    return None if digest == record.get("plan_sha256") else "was changed since it was built"


def _foreign(folder: Path) -> str | None:
    """Say why nobody should trust a folder; on Windows there is neither such an owner nor such a mode."""
    if os.name == "nt":
        return None
    status = folder.stat()
    if status.st_uid != os.getuid():
        return "the folder belongs to another user"
    return "the folder is open to other users" if stat.S_IMODE(status.st_mode) & _OTHERS else None
