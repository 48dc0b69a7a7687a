"""The hash by which files know one another."""

import hashlib
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Hash a file of any size in constant memory; lower-case hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
