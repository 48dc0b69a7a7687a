"""Templates, filled with everything escaped, and answers that a page can use."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from vipx.errors import ResourceError
from vipx.runtime.server.app.safety.destinations import own_path
from vipx.runtime.server.page.context import role_of
from vipx.runtime.server.storage.record import iso_time

Endpoint = Callable[[Request], Awaitable[Response]]
FOLDER: Final = Path(__file__).parent
_POLICY: Final = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_SCREENS: Final = (
    ("/", "Live"),
    ("/try", "Try"),
    ("/history", "History"),
    ("/threshold", "Threshold"),
    ("/system", "System"),
)
SIGNS: Final = {"OK": "✓", "NG": "✕", "REVIEW": "?", "ERROR": "!"}


class Templates:
    """Fills the templates of this folder; every value is escaped, an unknown name is an error.

    Args:
        alarms: Gives what stands above every screen.
    """

    def __init__(self, alarms: Callable[[], Sequence[str]] = tuple) -> None:
        self._alarms = alarms
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(screens=_SCREENS, signs=SIGNS)
        self._environment.filters.update(score=_score, size=size_text, moment=_moment)

    def screen(self, endpoint: Endpoint) -> Endpoint:
        """Make an endpoint answer with a screen, the alarms above it, where what is kept cannot be read."""

        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except ResourceError as error:
                page = self.page(request, "unreadable.html", reason=str(error))
                page.status_code = 503
                return page

        return answer

    def page(self, request: Request, name: str, /, **values: Any) -> Response:  # noqa: ANN401
        """Answer with a screen; no script and no style but this server's files can act in it."""
        template = self._environment.get_template(name)
        text = template.render(
            role=role_of(request),
            path=request.url.path,
            here=own_path(_asked(request)),
            alarms=self._alarms(),
            **values,
        )
        return HTMLResponse(text, headers={"Content-Security-Policy": _POLICY})


def _asked(request: Request) -> str:
    query = request.url.query
    return request.url.path + (f"?{query}" if query else "")


def _score(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.4f}"


def _moment(milliseconds: int) -> str:
    """Give a time for a person: UTC, to the second."""
    return iso_time(milliseconds)[:19].replace("T", " ")


def size_text(count: int | None) -> str:
    """Give bytes for a person."""
    if count is None:
        return "unknown"
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
