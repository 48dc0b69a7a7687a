"""How much memory this process holds, and held at most."""

import re
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident() -> int | None:
    """Give the bytes that this process holds now; None where the system does not tell."""
    return _status_bytes("VmRSS")


def peak() -> int | None:
    """Give the most bytes that this process ever held; None where the system does not tell."""
    held = _status_bytes("VmHWM")
    if held is not None:
        return held
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most  # bytes there, KiB elsewhere


def _status_bytes(name: str) -> int | None:
    try:
        text = _STATUS.read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return None if found is None else 1024 * int(found[1])
