"""Keeps plans where only their user can write, and gives them back only as they were written.

    engines/                 $XDG_CACHE_HOME/vipx/engines, or ~/.cache/vipx/engines; for its owner alone
        KEY/plan             what TensorRT compiled
        KEY/engine.json      what it was compiled from, its sha256, and how it did on the golden images
        approved/KEY.json    which plans passed on a bundle's golden images together
        timings/KEY          kernels that the builder measured
        lock                 held while something is built

To deserialise a plan is to run it as native code, so whatever is not exactly as it was written, or could have
been written by someone else, is not read at all.
"""

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vipx.errors import EngineError
from vipx.files import write_atomically, write_error
from vipx.runtime.engines.tensorrt.key import Plan

PLAN = "plan"
RECORD = "engine.json"
APPROVED = "approved"
TIMINGS = "timings"
SECONDS = "build_seconds"
_SEAL = "sha256"


class Unusable(Exception):  # noqa: N818 - no error: it says why something is built again
    """A plan is not there, or is not what was written; `str` says which."""


@dataclass(frozen=True, slots=True)
class CompiledPlan:
    """What TensorRT compiled for one graph, and the seconds that it took."""

    content: bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class Cache:
    """The folder of one user's plans."""

    root: Path

    def folder(self, key: str) -> Path:
        """Give the place of a plan."""
        return self.root / key

    def timings(self, key: str) -> Path:
        """Give the place of measured kernels."""
        return _private(self.root / TIMINGS) / key

    def read(self, plan: Plan) -> CompiledPlan:
        """Give a plan, all of its bytes checked; these very bytes are what may be deserialised.

        Raises:
            Unusable: It is not there, was changed, or may be someone else's.
        """
        folder = self.folder(plan.key)
        _check_owner(folder, stat.S_ISDIR)
        record = unseal(read_own(folder / RECORD))
        if record.get("key") != plan.key or record.get("facts") != plan.facts:
            raise Unusable(f"{folder}: belongs to another graph, GPU or TensorRT")
        content = read_own(folder / PLAN)
        if hashlib.sha256(content).hexdigest() != record.get("plan_sha256"):
            raise Unusable(f"{folder / PLAN}: was changed since it was built")
        return CompiledPlan(content, float(record[SECONDS]))

    def read_approval(self, key: str) -> dict[str, Any]:
        """Give the record that a bundle's plans passed.

        Raises:
            Unusable: They did not, or the record was changed.
        """
        return unseal(read_own(self.root / APPROVED / f"{key}.json"))

    def approve(self, key: str, record: Mapping[str, Any]) -> None:
        """Keep that a bundle's plans passed together."""
        write_atomically(_private(self.root / APPROVED) / f"{key}.json", seal(record))

    @contextmanager
    def lock(self, report: Callable[[str], None]) -> Iterator[None]:
        """Hold the one right to build; the system takes it from a process that ends, however it ends."""
        import fcntl  # not on Windows, where `missing` says so

        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            told = False
            while not _try_lock(fcntl, descriptor):
                if not told:
                    report("another vipx builds; waiting for it")
                told = True
                time.sleep(0.1)
            yield
        finally:
            os.close(descriptor)


def open_cache(root: Path | None = None) -> Cache:
    """Open the user's folder of plans, made where it is not there.

    Raises:
        EngineError: Someone else owns it, or could write to it.
    """
    return Cache(_private(root or default_root()))


def default_root() -> Path:
    """Give the place of plans, as the XDG base directory specification has it."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(named) if Path(named).is_absolute() else Path.home() / ".cache"
    return base / "vipx" / "engines"


def seal(record: Mapping[str, Any]) -> bytes:
    """Give a record in its one form, its own hash in it."""
    body = {name: value for name, value in record.items() if name != _SEAL}
    digest = hashlib.sha256(_plain(body)).hexdigest()
    return _plain(body | {_SEAL: digest})


def unseal(content: bytes) -> dict[str, Any]:
    """Read a sealed record.

    Raises:
        Unusable: A byte is not as it was written.
    """
    try:
        record = json.loads(content)
        intact = isinstance(record, dict) and seal(record) == content
    except (ValueError, RecursionError):
        intact = False
    if not intact:
        raise Unusable("its record was changed since it was built")
    return dict(record)


def _plain(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()


def _private(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(folder, stat.S_ISDIR)
    except OSError as error:
        raise write_error(folder, error) from error
    except Unusable as reason:
        raise EngineError(
            f"{reason}; engines run as native code: remove the folder, or `chmod 700` it if all in it is yours"
        ) from reason
    return folder


def read_own(path: Path) -> bytes:
    """Read a file that its owner alone can have written.

    Raises:
        Unusable: It is not there, is a link, or others could have written it.
    """
    _check_owner(path, stat.S_ISREG)
    return path.read_bytes()


def _check_owner(path: Path, kind: Callable[[int], bool]) -> None:
    """Refuse links, what another user owns, and what others may write to."""
    try:
        status = path.lstat()
    except OSError as error:
        raise Unusable(f"{path}: was not built yet") from error
    if not kind(status.st_mode):
        raise Unusable(f"{path}: is a link or no plain file or folder")
    if status.st_uid != os.getuid():
        raise Unusable(f"{path}: belongs to another user")
    if status.st_mode & (0o077 if stat.S_ISDIR(status.st_mode) else 0o022):
        raise Unusable(f"{path}: is open to other users")


def _try_lock(fcntl: Any, descriptor: int) -> bool:  # noqa: ANN401 - a module that Windows lacks
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
