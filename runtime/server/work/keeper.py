"""Keeps a child alive: starts it, watches it, ends it when it is sick, and starts the next one."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Protocol, runtime_checkable

from vipx import errors
from vipx.errors import EngineError, RecipeError, ResourceError, VipxError
from vipx.runtime.engines.engine import EngineOptions
from vipx.runtime.server.work.channel.messages import Failed, Message, Ready
from vipx.runtime.server.work.process import ChildProcess
from vipx.runtime.server.work.restarts import Restarts
from vipx.runtime.server.work.settings import Patience

_TICK_S = 0.1


@runtime_checkable
class Owner(Protocol):
    """Whom the keeper tells what happens to its child."""

    async def spawn(self, options: EngineOptions) -> ChildProcess:
        """Start a child on an engine."""

    def on_ready(self, child: ChildProcess, ready: Ready) -> None:
        """Take a child into service whose goldens hold."""

    def on_message(self, message: Message) -> None:
        """Take what the child in service says."""

    def on_lost(self, reason: str) -> None:
        """Do without a child."""

    def on_tick(self, now: float) -> str | None:
        """Say why the child must be ended, if it must."""


@dataclass(frozen=True, slots=True)
class Engines:
    """The engine that was asked for, and the one for when it fails too often."""

    primary: EngineOptions
    fallback: EngineOptions | None


class Keeper:
    """Owns the life of the children, one at a time.

    Attributes:
        degraded: Why the fallback engine answers; None if the primary one does.
        restarts: How often a child was lost or did not start.
    """

    def __init__(self, owner: Owner, engines: Engines, patience: Patience) -> None:
        self._owner, self._engines, self._patience = owner, engines, patience
        self._restarts = Restarts(
            patience.pauses_s, patience.failures, patience.window_s, patience.settle_s
        )
        self._next_start = self._start_took = 0.0
        self._falls_back = False
        self.degraded: str | None = None

    @property
    def restarts(self) -> int:
        """Count the children that were lost or did not start."""
        return self._restarts.count

    def retry_after(self) -> float:
        """Estimate the seconds until a child answers again."""
        return max(1.0, self._next_start - monotonic() + self._start_took)

    async def run(self, first: "asyncio.Future[None]") -> None:
        """Keep a child in service until cancelled.

        Args:
            first: Done when the first child is in service; it fails where waiting cannot help.
        """
        while True:
            began = monotonic()
            try:
                served_from, reason = await self._life(first)
            except VipxError as error:
                if not first.done() and not self._may_heal(error):
                    first.set_exception(error)
                    return
                served_from, reason = None, str(error)
                self._start_failed()
            now = monotonic()
            pause = self._restarts.failed(now, 0.0 if served_from is None else now - served_from)
            if served_from is not None:
                self._start_took = served_from - began
            if self._changes_engine(now, reason):
                pause = self._patience.pauses_s[0]
            self._next_start = now + pause
            self._owner.on_lost(reason)
            await asyncio.sleep(pause)

    def _may_heal(self, error: VipxError) -> bool:
        may_change = self._engines.fallback is not None and not self._falls_back
        return may_change and error.exit_code in (5, 6, 7)

    def _start_failed(self) -> None:
        # Goldens that do not hold on the fallback send us back to the primary engine.
        if self._falls_back:
            self._falls_back, self.degraded = False, None
            self._restarts.forgive()

    def _changes_engine(self, now: float, reason: str) -> bool:
        if self._falls_back or not self._engines.fallback or not self._restarts.too_many(now):
            return False
        self._falls_back = True
        self.degraded = f"on the fallback engine, as the other one failed too often: {reason}"
        return True

    async def _life(self, first: "asyncio.Future[None]") -> tuple[float, str]:
        """Start one child and keep it in service; give when it came into service and why it left."""
        fallback = self._engines.fallback
        options = fallback if self._falls_back and fallback else self._engines.primary
        try:
            child = await self._owner.spawn(options)
        except OSError as error:
            raise ResourceError(f"no process for the engine can be started: {error}") from error
        try:
            ready = await self._ready(child)
            served_from = monotonic()
            self._owner.on_ready(child, ready)
            if not first.done():
                first.set_result(None)
            return served_from, await self._serve(child)
        finally:
            await child.end()

    async def _ready(self, child: ChildProcess) -> Ready:
        try:
            return await asyncio.wait_for(_first_word(child), self._patience.start_s)
        except asyncio.TimeoutError as error:
            raise EngineError(
                f"the engine did not start within {self._patience.start_s:.0f} s; see `vipx doctor`"
            ) from error

    async def _serve(self, child: ChildProcess) -> str:
        both = [
            asyncio.create_task(self._listen(child)),
            asyncio.create_task(self._watch(child)),
        ]
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            await _cancel(both)

    async def _listen(self, child: ChildProcess) -> str:
        try:
            async for message in child.messages():
                if isinstance(message, Failed):
                    return message.reason
                self._owner.on_message(message)
        except Exception as error:
            # Whatever it said, its memory cannot be trusted; and the keeper must outlive it.
            return f"the engine's process said what cannot be: {error}"
        await asyncio.sleep(0.01)  # the line closes a moment before the process is gone
        return child.how_it_ended()

    async def _watch(self, child: ChildProcess) -> str:
        before = monotonic()
        while True:
            await asyncio.sleep(_TICK_S)
            now = monotonic()
            if now - before > self._patience.silence_s / 2:
                # This process itself was stopped or starved, and may have heard nothing for that reason.
                child.heard = now
            before = now
            if now - child.heard > self._patience.silence_s:
                return f"the engine's process was silent for {now - child.heard:.1f} s"
            if (reason := self._owner.on_tick(now)) is not None:
                return reason


async def _first_word(child: ChildProcess) -> Ready:
    async for message in child.messages():
        if isinstance(message, Ready):
            return message
        if isinstance(message, Failed):
            raise _error_named(message.error)(message.reason)
    await asyncio.sleep(0.01)
    raise EngineError(f"{child.how_it_ended()} before it was ready; see `vipx doctor`")


def _error_named(name: str) -> Callable[[str], VipxError]:
    if name == RecipeError.__name__:
        return RecipeError
    return getattr(errors, name) if name in errors.__all__ else EngineError


async def _cancel(tasks: "list[asyncio.Task[str]]") -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
