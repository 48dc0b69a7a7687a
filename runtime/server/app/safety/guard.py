"""What stands before every route: Host, Origin, token; and the headers that every answer carries."""

import json
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vipx.runtime.server.app.safety.access import Access
from vipx.runtime.server.app.safety.destinations import login_for
from vipx.runtime.server.protocol.faults import RequestError, shown
from vipx.runtime.server.settings import ServerSettings

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})
# Nothing of these says anything about parts or products.
_PUBLIC: Final = frozenset({"/v2/health/live", "/v2/health/ready", "/login", "/session"})
_PUBLIC_FOLDER: Final = "/static/"
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # `no-referrer` would make browsers send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Lets a request through if its Host is ours, no other site sent it, and it carries the token, if any.

    `request.state.role` is the role that `Access` found: `operator` or `engineer`.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, access: Access) -> None:
        self._app = app
        self._hosts = settings.allowed_hosts
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(MutableHeaders(scope=message))
            await send(message)

        try:
            self._check(scope)
        except RequestError as error:
            await _send_error(send_guarded, error, head=scope["method"] == "HEAD")
            return
        try:
            await self._app(scope, receive, send_guarded)
        except ClientDisconnect:
            return  # nobody is left to answer

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = _own_host(headers, self._hosts)
        if scope["method"] not in _SAFE_METHODS:
            _check_origin(headers, host)
        role = self._access.role_of(headers)
        if role is None and not _is_public(scope["path"]):
            raise _unknown_client(scope, headers)
        scope.setdefault("state", {})["role"] = role


def _own_host(headers: Headers, allowed: frozenset[str]) -> str:
    """Give the Host as sent, with its port; refuse one under which this server is not known."""
    sent = headers.getlist("host")
    if len(sent) != 1:
        raise RequestError("expected exactly one Host header")
    if _without_port(sent[0].lower()) not in allowed:
        raise RequestError(
            f"Host {shown(sent[0])} is not a name of this server; "
            "start it with --allow-host to add one"
        )
    return sent[0].lower()


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and port.isascii() else host


def _check_origin(headers: Headers, host: str) -> None:
    """Refuse what a browser says another site has sent; programs send neither header."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in _OWN_SITES:
        raise RequestError("a request from another site is not answered", status=403)
    for origin in headers.getlist("origin"):
        if _host_of(origin) != host:
            raise RequestError(f"Origin {shown(origin)} is not this server", status=403)


def _host_of(origin: str) -> str | None:
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return None
    return parts.netloc if parts.scheme in ("http", "https") else None


def _unknown_client(scope: Scope, headers: Headers) -> RequestError:
    """Send a person to the page where the token is asked for, and tell a program what is missing."""
    if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
        return RequestError("log in first", status=303, headers={"Location": login_for(scope)})
    return RequestError(
        "this server answers only with its token: Authorization: Bearer TOKEN",
        status=401,
        headers={"WWW-Authenticate": 'Bearer realm="vipx"'},
    )


def _is_public(path: str) -> bool:
    return path in _PUBLIC or (path.startswith(_PUBLIC_FOLDER) and ".." not in path)


def _add_headers(headers: MutableHeaders) -> None:
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)


async def _send_error(send: Send, error: RequestError, *, head: bool) -> None:
    body = json.dumps({"error": str(error)}).encode("ascii")
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    raw = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in (headers | error.headers).items()
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if head else body})
