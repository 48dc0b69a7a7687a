"""The checkout as the tests of the repository see it: its root, its folders and its files."""

import os
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("training", "export", "calibration", "runtime")
PACKAGES = ("vipx", *STAGES)
_IGNORED = (".git", *(ROOT / ".gitignore").read_text().replace("/", "").split())


def pyproject() -> dict[str, Any]:
    """The whole of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def files(*suffixes: str) -> Iterator[Path]:
    """Every file that git would track and that ends in one of `suffixes`; without any, all.

    Read from .gitignore and not from git, so that it also holds in a copy without history.
    """
    for folder, folders, names in os.walk(ROOT):  # follows no links
        folders[:] = [name for name in folders if not _is_ignored(name)]
        for name in names:
            if not _is_ignored(name) and name.endswith(suffixes or ("",)):
                yield Path(folder, name)


def modules(*folders: str) -> list[Path]:
    """Every Python file below `folders` of the root, each once, relative to the root."""
    relative = (path.relative_to(ROOT) for path in files(".py"))
    return sorted(path for path in relative if path.parts[0] in folders)


def _is_ignored(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in _IGNORED)
