"""The server as a process: told by signals to end, and telling systemd how it is."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from vipx.errors import ResourceError, UsageError
from vipx.runtime.server.app.safety.connections import connection_class
from vipx.runtime.server.settings import ServerSettings

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_BACKLOG: Final = 512
_STARTING_S: Final = 5.0  # between two requests to systemd for more time


@dataclass(frozen=True, slots=True)
class Phases:
    """What happens beside the network.

    Attributes:
        listening: Called once connections are accepted.
        draining: Called once no more are, while those that were are answered.
    """

    listening: Callable[[], None]
    draining: Callable[[], Awaitable[None]]


class Notifier:
    """Tells systemd, if it started this process with `Type=notify`; otherwise does nothing."""

    def __init__(self, address: str | None, watchdog_us: int = 0) -> None:
        self._address = address
        self._watchdog_s = watchdog_us / 1e6

    @classmethod
    def from_environment(cls) -> "Notifier":
        """Read what systemd set for this process, and keep it from child processes."""
        address = os.environ.pop("NOTIFY_SOCKET", None)
        microseconds = os.environ.pop("WATCHDOG_USEC", "0")
        process = os.environ.pop("WATCHDOG_PID", str(os.getpid()))
        meant = process == str(os.getpid()) and microseconds.isdigit()
        return cls(address, int(microseconds) if meant else 0)

    def tell(self, *lines: str) -> None:
        """Send lines such as `READY=1`."""
        if self._address is None:
            return
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto("\n".join(lines).encode(), name)

    @asynccontextmanager
    async def starting(self) -> AsyncIterator[None]:
        """Ask for more time as long as the block runs: building an engine can take minutes."""
        extend = f"EXTEND_TIMEOUT_USEC={round(4e6 * _STARTING_S)}"
        async with self._repeating(_STARTING_S if self._address else 0.0, extend):
            yield

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """Feed the watchdog from the event loop; a loop that hangs lets it bite."""
        async with self._repeating(self._watchdog_s / 2, "WATCHDOG=1"):
            yield

    @asynccontextmanager
    async def _repeating(self, seconds: float, line: str) -> AsyncIterator[None]:
        async def repeat() -> None:
            while True:
                self.tell(line)
                await asyncio.sleep(seconds)

        task = asyncio.create_task(repeat()) if seconds else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers, which would end the process before the engine is closed."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, and say so."""
        await super().startup(sockets)
        self._listening()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `until_told`."""
        yield


def bind(settings: ServerSettings) -> socket.socket:
    """Take the address, before anything that lasts is started; connections are accepted later.

    Raises:
        UsageError: It is no address of this machine.
        ResourceError: Another program has it.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only for sockets that name TCP; with it a small answer waits 40 ms for
    # the client's delayed acknowledgement.
    taken = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((settings.host.strip("[]"), settings.port))
    except socket.gaierror as error:
        taken.close()
        raise UsageError(f"host {settings.host}: no such address ({error.strerror})") from error
    except OSError as error:
        taken.close()
        raise ResourceError(
            f"{settings.host}:{settings.port} cannot be taken ({error.strerror}); choose another --port"
        ) from error
    return taken


async def serve(
    app: ASGIApp,
    settings: ServerSettings,
    taken: socket.socket,
    ending: asyncio.Event,
    phases: Phases,
) -> None:
    """Answer requests until `ending` is set, then those that were accepted.

    Args:
        app: Answers.
        settings: Limits and how long to drain.
        taken: The socket that `bind` gave.
        ending: Ends the server; whoever asks whether it is ready sees it first.
        phases: What else happens then.
    """
    server = _Server(_config(app, settings), phases.listening)
    serving = asyncio.create_task(server.serve(sockets=[taken]))
    told = asyncio.create_task(ending.wait())
    await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    told.cancel()
    await phases.draining()
    await serving


@contextmanager
def until_told(ending: asyncio.Event, told: Callable[[], None]) -> Iterator[None]:
    """Let SIGTERM and SIGINT set `ending`; a second one is as ruthless as it always was.

    Args:
        ending: Is set by the first signal.
        told: Called with it.
    """
    loop = asyncio.get_running_loop()

    def end() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        ending.set()
        told()

    for number in _SIGNALS:
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def start_unless_told(start: Awaitable[None], ending: asyncio.Event) -> bool:
    """Wait for a start, or for the signal to end; say whether it was started."""
    starting = asyncio.ensure_future(start)
    told = asyncio.create_task(ending.wait())
    await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if starting.done():
        starting.result()
        return True
    starting.cancel()
    await asyncio.wait({starting})
    return False


def _config(app: ASGIApp, settings: ServerSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=connection_class(settings.limits),
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,  # it would believe any local program about a client's address
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=round(settings.limits.idle_s),
        timeout_graceful_shutdown=round(settings.drain_s),
    )
