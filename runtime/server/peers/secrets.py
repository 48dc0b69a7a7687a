"""Reads secrets from files or the environment, and says what is unsafe about them."""

import os
from collections.abc import Callable
from pathlib import Path

from vipx.errors import InputError


def secret_of_file(path: Path, what: str, tell: Callable[[str], None]) -> str:
    """Read a secret's file; one that other users of the machine can read is told about, and taken.

    Raises:
        InputError: It cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
        is_open = bool(path.stat().st_mode & 0o077)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the {what} cannot be read ({error})") from error
    if is_open:
        tell(f"{path}: other users can read the {what}; run: chmod 600 {path}")
    return text


def secret_of_environment(name: str, what: str) -> str:
    """Read a secret from a variable.

    Raises:
        InputError: It is not set.
    """
    text = os.environ.get(name, "")
    if not text:
        raise InputError(f"{name}: the variable with the {what} is not set; set it, or name a file")
    return text
