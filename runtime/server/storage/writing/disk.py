"""How much room the disk has, and whether that is enough to store."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vipx.runtime.server.storage.settings import GIGABYTE, StorageSettings


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Bytes of the disk that the store lies on."""

    total: int
    free: int


Measure = Callable[[Path], DiskSpace]


def disk_space(folder: Path) -> DiskSpace:
    """Measure the disk of a folder that need not be there yet.

    Raises:
        OSError: It cannot be measured.
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return DiskSpace(usage.total, usage.free)


def shortage(settings: StorageSettings, measure: Measure) -> str | None:
    """Say in one line why nothing may be stored for lack of room; None where there is enough."""
    try:
        space = measure(settings.folder)
    except OSError as error:
        return f"{settings.folder}: the disk cannot be measured ({error.strerror}); check it"
    least = max(settings.free_bytes, int(settings.free_share * space.total))
    if space.free >= least:
        return None
    return (
        f"{settings.folder}: {space.free / GIGABYTE:.2f} GB are free, below {least / GIGABYTE:.2f} GB "
        "nothing is stored; free the disk or shorten the retention"
    )
