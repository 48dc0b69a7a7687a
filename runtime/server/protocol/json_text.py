"""Strict JSON: bounded, UTF-8, no NaN; whatever cannot be read is the client's fault."""

import json
from typing import Any, Final

from vipx.runtime.server.protocol.faults import RequestError

# One megapixel written as decimal numbers takes up to 12 MiB; binary tensors have no such bound.
MOST_BYTES: Final = 16 * 2**20


def read_json_object(data: bytes | memoryview) -> dict[str, Any]:
    """Read one JSON object.

    Raises:
        RequestError: It is too long (413), nested too deeply, or no JSON object in UTF-8.
    """
    if len(data) > MOST_BYTES:
        raise RequestError(
            f"the JSON part has {len(data)} bytes, at most {MOST_BYTES} are read; send tensors as binary data",
            status=413,
        )
    try:
        value = json.loads(str(data, "utf-8"), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise RequestError("the JSON is nested too deeply") from error
    except ValueError as error:
        raise RequestError(f"the JSON cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise RequestError(f"expected a JSON object, got {type(value).__name__}")
    return value


def write_json(value: object, *, ascii_only: bool = True) -> bytes:
    """Write JSON; in ASCII even a lone surrogate that a client sent cannot break the answer."""
    text = json.dumps(value, ensure_ascii=ascii_only, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
