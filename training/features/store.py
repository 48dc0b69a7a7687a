"""The cache of features: a folder for each key, an entry for each image's content."""

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from vipx.errors import InputError, ResourceError
from vipx.files import write_atomically, write_error
from vipx.training.features.key import FeatureKey
from vipx.training.features.shard import (
    DamagedShardError,
    RecordShape,
    Shard,
    StoredFeatures,
    write_shard,
)

SHARD_BYTES = 64 * 2**20
SUFFIX = ".features"
RESERVE = 1.05
"""What must be free, as a multiple of what the features take."""

Say = Callable[[str], None]


class FeatureStore:
    """Features of one backbone at one size, by names that say the image's content.

    Several runs may use a folder at once: each writes files of its own and reads all. What is added can be read
    at once, and reaches the disk with `flush` or when enough has come together.
    """

    def __init__(self, root: Path, key: FeatureKey, say: Say) -> None:
        """Open or make the key's folder below `root`; `say` gets one line for each damaged file.

        Raises:
            InputError: The folder cannot be made.
        """
        vision = key.vision
        layers = len(vision.feature_layers)
        self.shape = RecordShape(
            key.dim, layers, key.patches, vision.height, vision.width, key.stored
        )
        self.folder = root / key.digest
        self._say = say
        self._pending: dict[str, StoredFeatures] = {}
        self._entries: dict[str, tuple[Shard, int]] = {}
        self._seen: set[Path] = set()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(self.folder, error) from error
        if not (self.folder / "key.json").exists():
            write_atomically(self.folder / "key.json", key.text.encode())
        self.refresh()

    def __contains__(self, name: str) -> bool:
        """Whether an image's features are here."""
        return name in self._pending or name in self._entries

    def get(self, name: str) -> StoredFeatures | None:
        """Give an image's features, or None if they must be computed; may be called from any thread."""
        pending = self._pending.get(name)
        if pending is not None:
            return pending
        entry = self._entries.get(name)
        if entry is None:
            return None
        shard, number = entry
        try:
            return shard.read(number)
        except DamagedShardError as error:
            self._drop(shard, str(error))
            return None

    def add(self, name: str, features: StoredFeatures) -> None:
        """Keep an image's features."""
        self._pending[name] = features
        if len(self._pending) * self.shape.size >= SHARD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Bring everything that was added to the disk."""
        if not self._pending:
            return
        path = self.folder / f"{uuid.uuid4().hex}{SUFFIX}"
        write_shard(path, self.shape, self._pending)
        self._open(path)
        self._pending = {}

    def refresh(self) -> None:
        """Find what other runs added meanwhile."""
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            if path not in self._seen:
                self._open(path)

    def check_room(self, missing: int) -> int:
        """Give the bytes that so many images will take.

        Raises:
            ResourceError: The disk has not that much room.
        """
        needed = missing * self.shape.size
        free = shutil.disk_usage(self.folder).free
        if needed * RESERVE > free:
            raise ResourceError(
                f"{self.folder}: features of {missing} images take {needed / 1e9:.2f} GB, {free / 1e9:.2f} GB "
                "are free; free the disk, give another folder with --cache, or pass --no-cache"
            )
        return needed

    def _open(self, path: Path) -> None:
        self._seen.add(path)
        try:
            shard = Shard(path, self.shape)
        except DamagedShardError as error:
            self._discard(path, str(error))
        except FileNotFoundError:
            return  # another run has just discarded it
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror}); pass --no-cache"
            ) from error
        else:
            self._entries.update({name: (shard, i) for i, name in enumerate(shard.names)})

    def _drop(self, shard: Shard, reason: str) -> None:
        """Forget a whole file with one wrong record: the others may be as wrong."""
        # A list first: threads add and read meanwhile.
        for name in [name for name, entry in list(self._entries.items()) if entry[0] is shard]:
            self._entries.pop(name, None)
        self._discard(shard.path, reason)

    def _discard(self, path: Path, reason: str) -> None:
        self._say(f"{path}: stored features are damaged ({reason}); they are computed again")
        if os.name != "nt":  # there, a mapped file cannot be removed
            path.unlink(missing_ok=True)
