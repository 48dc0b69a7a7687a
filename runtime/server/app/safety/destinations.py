"""Where a browser goes after the log-in: to a path of this server, and nowhere else."""

from typing import Final
from urllib.parse import quote, urlsplit

from starlette.types import Scope

_HOME: Final = "/"
_MOST: Final = 2000
_LOGIN: Final = "/login"


def own_path(text: str) -> str:
    r"""Give a path with its query if it is one of this server; for everything else, the start page.

    Browsers take `//host`, `/\host` and, after removing control characters, `/<tab>/host` for other servers.
    """
    is_plain = text.isascii() and text.isprintable() and " " not in text and "\\" not in text
    if not is_plain or len(text) > _MOST or not text.startswith("/") or text.startswith("//"):
        return _HOME
    try:
        parts = urlsplit(text)
    except ValueError:
        return _HOME
    if parts.scheme or parts.netloc or parts.path.rstrip("/") == _LOGIN:
        return _HOME
    return text


def login_for(scope: Scope) -> str:
    """Give the address of the log-in page, from which a person comes back to what was asked for."""
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    query = scope.get("query_string", b"")
    asked = own_path((raw + (b"?" + query if query else b"")).decode("latin-1"))
    return _LOGIN if asked == _HOME else f"{_LOGIN}?next={quote(asked, safe='/')}"
