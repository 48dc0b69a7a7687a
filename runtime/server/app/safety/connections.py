"""Connections that cannot be held open: deadlines for headers, bodies and answers, and few for each address.

uvicorn has a time limit for idle connections alone; this is its httptools protocol with the others.
"""

import asyncio
import json
from collections import Counter
from typing import Any, ClassVar

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from vipx.runtime.server.settings import Limits

_LAST_REQUEST_S = 0.3  # at the end, for requests that are on their way
_MOST_WAITING = 8  # requests behind one that is being answered; hardly a client sends a second
_LINGER_S = 2.0  # for the last bytes of an answer after which the connection ends
_PHRASES = {
    400: b"Bad Request",
    408: b"Request Timeout",
    503: b"Service Unavailable",
}


def connection_class(limits: Limits) -> type[asyncio.Protocol]:
    """Make the class of connections that uvicorn is given; they count their addresses together."""

    class LimitedConnection(Connection):
        bounds: ClassVar[Limits] = limits
        addresses: ClassVar[Counter[str]] = Counter()

    return LimitedConnection


class Connection(HttpToolsProtocol):
    """One connection; whoever is slower than the limits is answered 408 where that is possible, and cut off."""

    bounds: ClassVar[Limits]
    addresses: ClassVar[Counter[str]]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadline: asyncio.TimerHandle | None = None
        self._unsent: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._in_headers = True
        self._in_body = False
        self._ending = False
        self._address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or refuse it where its address has too many."""
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self.addresses[self._address] += 1
        if self.addresses[self._address] > self.bounds.sockets_per_ip:
            self._refuse(503, "too many connections from this address")
            return
        self._set_deadline(self.bounds.header_s, "the headers did not come in time")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything about the connection."""
        self._clear()
        self.addresses[self._address] -= 1
        if self.addresses[self._address] <= 0:
            del self.addresses[self._address]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; the first byte of a request starts its headers' deadline."""
        if self.transport.is_closing():
            return
        if self._in_headers:
            if self._deadline is None:
                self._set_deadline(self.bounds.header_s, "the headers did not come in time")
            self._header_bytes += len(data)
        super().data_received(data)
        # Counted after parsing: what came may have been the end of the headers and a body.
        if self._in_headers and self._header_bytes > self.bounds.header_bytes:
            self._refuse(400, f"the headers have more than {self.bounds.header_bytes} bytes")

    def on_headers_complete(self) -> None:
        """Start the body's deadline; a connection on which many requests wait is a flood."""
        if len(self.pipeline) >= _MOST_WAITING:
            raise ValueError(
                "too many requests at once"
            )  # ends the parser, which ends the connection
        self._in_headers = False
        self._in_body = True
        self._header_bytes = 0
        self._set_deadline(self.bounds.body_s, "the body did not come in time")
        super().on_headers_complete()
        if self._ending:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """End the body's deadline; from here on only the server is slow."""
        self._in_body = False
        self._in_headers = True
        self._clear_deadline()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """End a connection that cannot go on, and do not wait for whom it will not reach."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_later()

    def pause_writing(self) -> None:
        """Start a deadline for the client to fetch its answer."""
        super().pause_writing()
        if self._unsent is None:
            self._unsent = self.loop.call_later(self.bounds.body_s, self._abort)

    def resume_writing(self) -> None:
        """End that deadline."""
        super().resume_writing()
        if self._unsent is not None and not self.transport.is_closing():
            self._unsent.cancel()
            self._unsent = None

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, even if its last answer was never fetched."""
        super().timeout_keep_alive_handler()
        self._abort_later()

    def shutdown(self) -> None:
        """Close when the server ends: what has been sent by now is answered first.

        An idle connection may have a request on its way, which closing at once would lose.
        """
        self._ending = True
        if (answering := self._answering) is not None:
            answering.keep_alive = False
        self.loop.call_later(_LAST_REQUEST_S, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self._answering is None and not self._in_body:
            self.transport.close()
            self._abort_later()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, "this is no HTTP request, or too many at once")

    def _unsupported_upgrade_warning(self) -> None:
        """Answer a request for another protocol in this one, and then close."""
        self._in_headers = self._in_body = False
        self._clear_deadline()
        if (answering := self._answering) is not None:
            answering.more_body = False
            answering.keep_alive = False
            answering.message_event.set()

    @property
    def _answering(self) -> RequestResponseCycle | None:
        """The request whose answer is not complete."""
        cycle: RequestResponseCycle | None = getattr(self, "cycle", None)
        return None if cycle is None or cycle.response_complete else cycle

    def _set_deadline(self, seconds: float, reason: str) -> None:
        self._clear_deadline()
        self._deadline = self.loop.call_later(seconds, self._too_slow, reason)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self, reason: str) -> None:
        self._deadline = None
        self._refuse(408, reason)

    def _refuse(self, status: int, reason: str) -> None:
        """Answer without the application, unless it has begun to answer; then close."""
        answering = self._answering
        if not self.transport.is_closing():
            if answering is None or not answering.response_started:
                self.transport.write(_answer(status, reason))
            if answering is not None:
                answering.disconnected = True
                answering.message_event.set()
            self.transport.close()
        self._abort_later()

    def _abort_later(self) -> None:
        if self._unsent is None:
            self._unsent = self.loop.call_later(_LINGER_S, self._abort)

    def _abort(self) -> None:
        self.transport.abort()

    def _clear(self) -> None:
        self._clear_deadline()
        if self._unsent is not None:
            self._unsent.cancel()
            self._unsent = None


def _answer(status: int, reason: str) -> bytes:
    body = json.dumps({"error": reason}).encode("ascii")
    retry = b"retry-after: 1\r\n" if status == 503 else b""
    return (
        b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s"
        b"connection: close\r\n\r\n%s" % (status, _PHRASES[status], len(body), retry, body)
    )
