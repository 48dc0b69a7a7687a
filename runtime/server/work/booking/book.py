"""The book of tasks: who waits, who lies with the child in which slot, and who may be sent next."""

import asyncio
from collections.abc import Sequence
from time import monotonic

from vipx.runtime.server.work.booking.entry import Entry
from vipx.runtime.server.work.booking.waiting import WaitingLine
from vipx.runtime.server.work.task import Outcome, Task

_SPARE_SLOTS = 2  # for cancelled work that the child has not put away yet
_NEWEST_SHARE = 0.1


class Book:
    """Every task that was taken and not answered.

    Args:
        bound: Most tasks that wait.
        batch: Most images of one run of the engine.
    """

    def __init__(self, bound: int, batch: int) -> None:
        self._batch = batch
        self.slots = 3 * batch + _SPARE_SLOTS
        self.queue: WaitingLine[Entry] = WaitingLine(bound)
        self._free_slots = list(range(self.slots))
        self._sent: dict[int, Entry] = {}
        self._last_number = 0
        self._run_s = 0.05

    @property
    def waiting(self) -> int:
        """Count the tasks that wait here, without those that the child holds."""
        return len(self.queue)

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is to be answered."""
        return not self._sent and not self.queue

    @property
    def held(self) -> int:
        """Count the tasks that the child holds."""
        return len(self._sent)

    @property
    def is_running(self) -> bool:
        """Tell whether the engine runs."""
        return any(entry.started_at is not None for entry in self._sent.values())

    @property
    def drain_s(self) -> float:
        """Estimate the seconds until the queue has drained."""
        return (1 + self.waiting) * self._run_s

    def next_number(self) -> int:
        """Give a number that was never given before."""
        self._last_number += 1
        return self._last_number

    def admit(self, task: Task) -> Entry:
        """Open an entry for a task."""
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        return Entry(self.next_number(), task, answer, monotonic())

    def send_next(self) -> Entry | None:
        """Take who is to be sent to the child now, with a slot of its own; None if the child holds enough.

        Beside what runs, the child prepares one batch. The page's share of it never keeps the line waiting: the
        line has a batch of its own, which the engine takes first.
        """
        ahead = [one for one in self._sent.values() if not one.started_at and not one.is_abandoned]
        entry = self.queue.head("line")
        if entry is not None:
            ahead = [one for one in ahead if one.priority == "line"]
        else:
            entry = self.queue.head("page")
        if entry is None or len(ahead) >= self._batch or not self._free_slots:
            return None
        self.queue.remove(entry)
        entry.slot = self._free_slots.pop()
        self._sent[entry.number] = entry
        return entry

    def sent(self, number: int) -> Entry:
        """Find what the child holds."""
        return self._sent[number]

    def start(self, numbers: Sequence[int], now: float) -> None:
        """Note what the engine runs on; it can no longer be too late."""
        for number in numbers:
            self._sent[number].started_at = now
            self._sent[number].stop_timer()

    def abandon(self, entry: Entry) -> bool:
        """Give up what the engine has not started on; False if there is nothing to tell the child."""
        lies_there = self._sent.get(entry.number) is entry and entry.started_at is None
        if not lies_there or entry.is_abandoned:
            return False
        entry.is_abandoned = True
        return True

    def free(self, number: int) -> Entry:
        """Take an entry out whose slot the child has done with."""
        entry = self._sent.pop(number)
        self._free_slots.append(entry.slot)
        return entry

    def measure(self, infer_us: int) -> None:
        """Learn how long a run takes."""
        self._run_s += _NEWEST_SHARE * (1e-6 * infer_us - self._run_s)

    def clear(self) -> list[Entry]:
        """Take everything out, as the child is gone."""
        entries = [*self._sent.values(), *self.queue.clear()]
        self._sent.clear()
        self._free_slots = list(range(self.slots))
        return entries
