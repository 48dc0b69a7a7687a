"""One server a folder: two would give the same numbers and sweep each other's files."""

import os
from pathlib import Path

from vipx.errors import UsageError


class FolderClaim:
    """Holds a folder for this process; the system lets go of it however the process ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".claim"
        self._descriptor: int | None = None

    def take(self) -> None:
        """Claim the folder.

        A folder that cannot be written holds no claim: nothing can be damaged there.

        Raises:
            UsageError: Another process holds it.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return
        if not _locked(self._descriptor):
            self.let_go()
            raise UsageError(
                f"{self._path.parent}: another vipx server stores here; stop it, or give another folder"
            )

    def let_go(self) -> None:
        """Give the folder free."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _locked(descriptor: int) -> bool:
    if os.name == "nt":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems know no locks; SQLite's own remain
        return True
    return True
