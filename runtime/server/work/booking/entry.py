"""One task on its way to an answer."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from vipx.runtime.server.work.task import Outcome, Priority, Task


@dataclass(eq=False, slots=True)
class Entry:
    """One task on its way.

    Attributes:
        number: Its name between server and child.
        answer: What its caller waits for.
        admitted_at: When it came in.
        started_at: When the engine began to run it.
        slot: Where its image lies once it was sent.
        used: Bytes written there.
        is_abandoned: Nobody waits for it, and the child was told.
    """

    number: int
    task: Task = field(repr=False)
    answer: "asyncio.Future[Outcome]"
    admitted_at: float
    started_at: float | None = None
    slot: int = -1
    used: int = 0
    is_abandoned: bool = False
    _timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    @property
    def priority(self) -> Priority:
        """Say in which line it stands."""
        return self.task.priority

    @property
    def queue_us(self) -> int:
        """Microseconds from coming in to the engine's start."""
        return round(1e6 * ((self.started_at or monotonic()) - self.admitted_at))

    def await_until(self, deadline_s: float, expire: "Callable[[Entry], None]") -> None:
        """Have it expire unless the engine starts on it in time."""
        self._timer = self.answer.get_loop().call_later(deadline_s, expire, self)

    def stop_timer(self) -> None:
        """Let it wait for ever."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def succeed(self, outcome: Outcome) -> None:
        """Answer it, if anyone still waits."""
        if not self.answer.done():
            self.answer.set_result(outcome)

    def fail(self, error: Exception) -> None:
        """Answer it with an error, if anyone still waits."""
        if not self.answer.done():
            self.answer.set_exception(error)
