"""Keeps a source or a sink going for as long as the server lives: its end is an alarm, never a silence."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from vipx.runtime.server.work.restarts import Restarts

_LOG = logging.getLogger("vipx.server")
_PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
_SETTLE_S: Final = 10.0


class Kept:
    """Runs something that should never end; whatever ends it is told, and it is started again.

    Args:
        name: For the log.
        run: Runs until it is cancelled.
        pause: Waits for so many seconds.
        settle_s: What ran for so long is well again: its alarm goes, and pauses start over.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[], Coroutine[Any, Any, None]],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        settle_s: float = _SETTLE_S,
    ) -> None:
        self._name, self._run, self._pause, self._settle_s = name, run, pause, settle_s
        self._restarts = Restarts(_PAUSES_S, most=1, window_s=_SETTLE_S, settle_s=settle_s)
        self._task: asyncio.Task[None] | None = None
        self.alarm: str | None = None

    @property
    def restarts(self) -> int:
        """Say how often it ended although it should not."""
        return self._restarts.count

    def start(self) -> None:
        """Start it."""
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End it; done when it has ended."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _keep(self) -> None:
        while True:
            started = time.monotonic()
            fault = await self._ended()
            now = time.monotonic()
            pause = self._restarts.failed(now, now - started)
            self.alarm = f"ended unexpectedly ({fault}); started again after {pause:g} s: see the server's log"
            await self._pause(pause)

    async def _ended(self) -> str:
        """Run it, and say how it ended."""
        settling = asyncio.get_running_loop().call_later(self._settle_s, self._settle)
        try:
            await self._run()
        except asyncio.CancelledError:
            if self._task is not None:  # not by `stop`
                self.alarm = "was cancelled; restart the server"
            raise
        except Exception as error:
            _LOG.exception("%s ended", self._name)
            return f"{type(error).__name__}: {error}"[:200]
        finally:
            settling.cancel()
        return "by itself"

    def _settle(self) -> None:
        self.alarm = None
