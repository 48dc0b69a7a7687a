"""Reads TOML files on every Python that vipx runs on."""

import sys
from pathlib import Path
from typing import Any

from vipx.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["read_toml", "tomllib"]


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Read a file.

    Args:
        path: The file.
        what: What it should be, for the message.

    Raises:
        UsageError: The file cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give {what}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a TOML file: {error}") from error
