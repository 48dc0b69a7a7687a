"""Who is asking: a client with the token, an operator, or an engineer; and sessions for browsers."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final, Literal

from starlette.datastructures import Headers

from vipx.runtime.server.app.safety.passwords import is_password
from vipx.runtime.server.protocol.faults import RequestError
from vipx.runtime.server.settings import ServerSettings

Role = Literal["operator", "engineer"]
COOKIE: Final = "vipx_session"
_MOST_SESSIONS: Final = 1000
_MOST_WATCHED: Final = 1000
_FREE_TRIES: Final = 5
_LONGEST_PAUSE_S: Final = 60.0
SESSION_S: Final = 12 * 3600.0


@dataclass(frozen=True, slots=True)
class _Session:
    role: Role
    ends: float


@dataclass(frozen=True, slots=True)
class _Tries:
    failed: int
    next: float


class Access:
    """Tells roles apart.

    A client that sends the token (`Authorization: Bearer`, or Basic with the token as password) is an operator,
    and so is everybody where no token is set. An engineer has logged in with the password and holds a session.
    """

    def __init__(
        self, settings: ServerSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._token = settings.token
        self._engineer = settings.engineer
        self._clock = clock
        self._sessions: dict[str, _Session] = {}
        self._tries: dict[str, _Tries] = {}
        self._one_try = asyncio.Lock()

    def role_of(self, headers: Headers) -> Role | None:
        """Say which role a request has; None if it has to say who it is first."""
        session = self._session(headers)
        if session is not None:
            return session.role
        if self._token is None or self._carries_token(headers, self._token):
            return "operator"
        return None

    async def log_in(self, secret: str, address: str) -> str:
        """Open a session for the token (operator) or the engineer's password, and give its key.

        Raises:
            RequestError: The secret is wrong (401), or the address has to wait after wrong ones (429).
        """
        async with self._one_try:
            self._refuse_early(address)
            role = await self._role_for(secret)
            if role is None:
                self._count_failure(address)
                raise RequestError("the password is wrong", status=401)
        self._tries.pop(address, None)
        return self._open(role)

    def log_out(self, headers: Headers) -> None:
        """End the session that a request carries, if any."""
        self._sessions.pop(_digest(_cookie(headers)), None)

    async def _role_for(self, secret: str) -> Role | None:
        if self._engineer is not None and await asyncio.to_thread(
            is_password, secret, self._engineer
        ):
            return "engineer"
        if self._token is not None and _same(secret, self._token):
            return "operator"
        return None

    def _open(self, role: Role) -> str:
        now = self._clock()
        self._sessions = {key: one for key, one in self._sessions.items() if one.ends > now}
        if len(self._sessions) >= _MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        key = secrets.token_urlsafe(32)
        self._sessions[_digest(key)] = _Session(role, now + SESSION_S)
        return key

    def _session(self, headers: Headers) -> _Session | None:
        if not self._sessions:
            return None
        session = self._sessions.get(_digest(_cookie(headers)))
        return session if session is not None and session.ends > self._clock() else None

    def _carries_token(self, headers: Headers, token: str) -> bool:
        kind, _, value = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return _same(value.strip(), token)
        if kind.lower() == "basic":
            return _same(_basic_password(value), token)
        return False

    def _refuse_early(self, address: str) -> None:
        tries = self._tries.get(address)
        wait = tries.next - self._clock() if tries else 0.0
        if wait > 0:
            seconds = str(math.ceil(wait))
            raise RequestError(
                f"too many wrong passwords; wait {seconds} s",
                status=429,
                headers={"Retry-After": seconds},
            )

    def _count_failure(self, address: str) -> None:
        failed = (self._tries[address].failed if address in self._tries else 0) + 1
        pause = min(2.0 ** (failed - _FREE_TRIES), _LONGEST_PAUSE_S) if failed >= _FREE_TRIES else 0
        if len(self._tries) >= _MOST_WATCHED and address not in self._tries:
            del self._tries[next(iter(self._tries))]
        self._tries[address] = _Tries(failed, self._clock() + pause)


def _cookie(headers: Headers) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel is not None else ""


def _basic_password(value: str) -> str:
    try:
        text = base64.b64decode(value.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""
    return text.partition(":")[2]


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("utf-8"))


def _digest(key: str) -> str:
    """What is looked up is a hash, so that the time of a look-up tells nothing about a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
