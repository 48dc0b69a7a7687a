"""What the server listens on, whom it answers, and where its limits are."""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final, Literal

from vipx.errors import UsageError

MEBIBYTE: Final = 2**20
KeepMaps = Literal["none", "not-ok", "all"]
_SHORTEST_TOKEN = 16
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that hold whatever is sent.

    Attributes:
        body_bytes: Of one request's body, as received and as decompressed.
        in_flight_bytes: Of all bodies that are held at one time.
        header_bytes: Of one request's line and headers.
        header_s: From a connection, or the first byte of a request, to the end of its headers.
        body_s: From the end of the headers to the end of the body; also for an answer that is not fetched.
        idle_s: Between two requests on one connection.
        sockets_per_ip: Connections from one address.
        images: Of one inference request.
    """

    body_bytes: int = 64 * MEBIBYTE
    in_flight_bytes: int = 256 * MEBIBYTE
    header_bytes: int = 64 * 1024
    header_s: float = 5.0
    body_s: float = 10.0
    idle_s: float = 60.0
    sockets_per_ip: int = 64
    images: int = 8

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise UsageError(f"{name}: expected more than 0, got {getattr(self, name)}")
        if self.in_flight_bytes < self.body_bytes:
            raise UsageError("in_flight_bytes: expected at least body_bytes")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How the server is reached; refuses anything that would leave it open.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        hosts: Names under which clients reach it, beside this machine's loopback names.
        token: Secret that every request must carry; mandatory off loopback.
        engineer: scrypt line of the engineer's password; None means that nobody can be engineer.
        limits: Bounds on requests.
        deadline_s: Longest wait of an inspection for its turn.
        keep_maps: Of which results the heat map is stored.
        drain_s: Longest wait for accepted requests at the end.
        name: In `GET /v2`.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    hosts: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)
    engineer: str | None = field(default=None, repr=False)
    limits: Limits = Limits()
    deadline_s: float = 0.5
    keep_maps: KeepMaps = "not-ok"
    drain_s: float = 10.0
    name: str = "vipx"

    def __post_init__(self) -> None:
        if not 0 <= self.port < 2**16:
            raise UsageError(f"port: expected 0 to 65535, got {self.port}")
        for name in ("deadline_s", "drain_s"):
            if not 0 < getattr(self, name) <= 3600:
                raise UsageError(f"{name}: expected seconds above 0, got {getattr(self, name)}")
        for host in self.hosts:
            if not _HOST_NAME.fullmatch(host):
                raise UsageError(f"hosts: {host!r} is no host name; give names without port or *")
        _check_token(self.token)
        if not is_loopback(self.host):
            _check_open_to_others(self)

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """Names that a request's Host may have, in small letters and without port."""
        return frozenset(host.lower() for host in (*_LOOPBACK_HOSTS, *self.hosts))


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _check_token(token: str | None) -> None:
    if token is None:
        return
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise UsageError(
            f"token: expected at least {_SHORTEST_TOKEN} printable ASCII characters; "
            "`openssl rand -hex 24` makes one"
        )


def _check_open_to_others(settings: ServerSettings) -> None:
    if settings.token is None:
        raise UsageError(
            f"host {settings.host} can be reached from other machines: give a token (--token-file)"
        )
    if not settings.hosts:
        raise UsageError(
            f"host {settings.host} can be reached from other machines: "
            "list the names that clients use (--allow-host)"
        )
