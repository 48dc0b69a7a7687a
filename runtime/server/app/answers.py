"""What went wrong, as the status and the JSON that a client gets."""

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from vipx.errors import InputError, ResourceError, UsageError
from vipx.runtime.server.protocol.faults import RequestError
from vipx.runtime.server.protocol.json_text import write_json
from vipx.runtime.server.work.faults import UnknownRecipe, WorkError

Handler = Callable[[Request, Any], Awaitable[Response]]
_LOG = logging.getLogger("vipx.server")


def json_answer(
    value: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with JSON."""
    return Response(write_json(value), status, dict(headers or {}), "application/json")


def error_answer(message: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with `{"error": message}`."""
    return json_answer({"error": message}, status=status, headers=headers)


def unavailable(message: str, retry_after_s: float | None) -> Response:
    """Answer 503; `Retry-After` is in whole seconds, 1 at least."""
    seconds = max(1, math.ceil(retry_after_s or 1))
    return error_answer(message, 503, {"Retry-After": str(seconds)})


async def _refused(_: Request, error: RequestError) -> Response:
    return error_answer(str(error), error.status, error.headers)


async def _not_worked(_: Request, error: WorkError) -> Response:
    if isinstance(error, UnknownRecipe):
        return error_answer(str(error), 404)
    return unavailable(str(error), error.retry_after_s)


async def _bad_input(_: Request, error: InputError) -> Response:
    return error_answer(str(error), 400)


async def _no_resource(_: Request, error: ResourceError) -> Response:
    return unavailable(str(error), 5.0)


async def _routed(_: Request, error: HTTPException) -> Response:
    return error_answer(error.detail, error.status_code, error.headers)


async def _bug(request: Request, error: Exception) -> Response:
    _LOG.exception("%s %s", request.method, request.url.path, exc_info=error)
    return error_answer("the server has a bug; its log has the details", 500)


HANDLERS: Mapping[Any, Handler] = {
    RequestError: _refused,
    WorkError: _not_worked,
    InputError: _bad_input,
    UsageError: _bad_input,
    ResourceError: _no_resource,
    HTTPException: _routed,
    Exception: _bug,
}
