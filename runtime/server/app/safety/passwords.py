"""Passwords as scrypt lines: `scrypt$N$r$p$salt$key`, salt and key in hexadecimal."""

import hashlib
import hmac
import os
from typing import Final

from vipx.errors import UsageError

_COST: Final = 2**15  # 32 MiB and some 60 ms a try
_BLOCK: Final = 8
_LANES: Final = 1
_MEMORY: Final = 2**26
_SHORTEST: Final = 8
_LONGEST: Final = 1024


def hash_password(password: str) -> str:
    """Make the line that is stored in place of a password.

    Raises:
        UsageError: The password is too short or too long.
    """
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise UsageError(f"password: expected {_SHORTEST} to {_LONGEST} characters")
    salt = os.urandom(16)
    key = _derive(password, salt, (_COST, _BLOCK, _LANES))
    return f"scrypt${_COST}${_BLOCK}${_LANES}${salt.hex()}${key.hex()}"


def check_line(line: str) -> str:
    """Refuse a line that `hash_password` did not write.

    Raises:
        UsageError: It is none.
    """
    try:
        _parse(line)
    except ValueError as error:
        raise UsageError(
            "the engineer's password file holds no scrypt line; set the password again "
            "(vipx serve-local --set-engineer-password)"
        ) from error
    return line


def is_password(password: str, line: str) -> bool:
    """Compare in constant time; takes some 60 ms, so call it in a thread."""
    if len(password) > _LONGEST:
        return False
    costs, salt, key = _parse(line)
    return hmac.compare_digest(_derive(password, salt, costs), key)


def _parse(line: str) -> tuple[tuple[int, int, int], bytes, bytes]:
    kind, cost, block, lanes, salt, key = line.strip().split("$")
    costs = (int(cost), int(block), int(lanes))
    if kind != "scrypt" or costs != (_COST, _BLOCK, _LANES) or len(key) != 64:
        raise ValueError("unexpected parameters")
    return costs, bytes.fromhex(salt), bytes.fromhex(key)


def _derive(password: str, salt: bytes, costs: tuple[int, int, int]) -> bytes:
    cost, block, lanes = costs
    secret = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=cost, r=block, p=lanes, maxmem=_MEMORY, dklen=32)
