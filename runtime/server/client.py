"""A client of the inspection server with nothing but the standard library."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from vipx.errors import UsageError

_RESULT: Final = "Vipx-Result"
_KINDS: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said of one picture.

    Attributes:
        record: Its JSON; `verdict` is ERROR where it gave none, with a `reason` and the HTTP `status`: 0 where
            the server did not answer, None where nothing was sent.
        heat_map: As PNG, if it was asked for.
    """

    record: Mapping[str, Any]
    heat_map: bytes | None = None


class Connection:
    """One kept-alive connection; used from one thread.

    Example:
        with Connection("http://127.0.0.1:8000") as connection:
            print(connection.inspect(Path("part.jpg")).record["verdict"])
    """

    def __init__(self, url: str, token: str | None = None, timeout_s: float = 30.0) -> None:
        """Prepare a connection.

        Args:
            url: Such as http://127.0.0.1:8000.
            token: Where the server asks for one.
            timeout_s: Longest wait for an answer.

        Raises:
            UsageError: The URL is none.
        """
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._connection = _connection(url, timeout_s)

    def inspect(self, path: Path, recipe: str | None = None, *, with_map: bool = False) -> Answer:
        """Post one picture file; never raises for what the server or the network does."""
        fields = {"part_id": _part_id(path)} | ({} if recipe is None else {"recipe": recipe})
        fields |= {"map": "png"} if with_map else {}
        try:
            data = path.read_bytes()
        except OSError as error:
            return _error(f"the picture cannot be read ({error.strerror})", None)
        kind = _KINDS.get(path.suffix.lower(), "application/octet-stream")
        query = urlencode(fields, quote_via=quote)
        try:
            return self._post(f"/v1/inspect?{query}", data, kind)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return _error(f"the server does not answer ({str(error) or type(error).__name__})", 0)

    def _post(self, path: str, data: bytes, kind: str) -> Answer:
        self._connection.request("POST", path, data, {"Content-Type": kind} | self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        text = answer.headers.get(_RESULT)
        try:
            record = json.loads(body if text is None else text)
        except ValueError:
            return _error(
                f"HTTP {answer.status} and no JSON: is this a vipx server?", answer.status
            )
        if not isinstance(record, dict) or "verdict" not in record or answer.status != 200:
            reason = record.get("error") if isinstance(record, dict) else None
            return _error(str(reason or f"HTTP {answer.status}"), answer.status)
        return Answer(record, None if text is None else body)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _connection(url: str, timeout_s: float) -> http.client.HTTPConnection:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{url}: not a URL ({error})") from error
    if parts.scheme not in ("http", "https") or host is None or parts.path.strip("/"):
        raise UsageError(f"{url}: expected a URL such as http://127.0.0.1:8000")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(host, port, timeout=timeout_s)


def _part_id(path: Path) -> str:
    """Name the part by its file; what cannot be shown is escaped."""
    name = path.name if path.name.isprintable() else ascii(path.name)[1:-1]
    return name[-128:]


def _error(reason: str, status: int | None) -> Answer:
    return Answer({"verdict": "ERROR", "reason": reason, "status": status})
