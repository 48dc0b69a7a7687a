"""Where prepared images wait for the engine's thread, in the order of their priority."""

from collections import deque
from dataclasses import dataclass
from threading import Condition
from time import monotonic

from jaxtyping import UInt8
from numpy import ndarray

from vipx.runtime.server.work.channel.messages import Work


@dataclass(frozen=True, slots=True)
class Job:
    """An image at the model's size; `size` is the original's height and width."""

    work: Work
    image: UInt8[ndarray, "height width 3"]
    size: tuple[int, int]
    preprocess_us: int


class Desk:
    """Hands jobs from the threads that prepare them to the one that runs the engine.

    Args:
        batch: Most jobs handed out at once; all of one recipe.
        delay_s: How long a started batch waits to fill.
    """

    def __init__(self, batch: int = 1, delay_s: float = 0.0) -> None:
        self._batch, self._delay = batch, delay_s
        self._changed = Condition()
        self._lines: dict[bool, deque[Job]] = {True: deque(), False: deque()}
        self._known: set[int] = set()
        self._check_asked = False

    def expect(self, number: int) -> None:
        """Note that work came in; its job follows when it is prepared."""
        with self._changed:
            self._known.add(number)

    def put(self, job: Job) -> bool:
        """Hand a prepared job over; False if it was cancelled meanwhile."""
        with self._changed:
            if job.work.number not in self._known:
                return False
            self._lines[job.work.line].append(job)
            self._changed.notify()
        return True

    def forget(self, number: int) -> bool:
        """Take work back; True if its job lay here.

        Where it is still being prepared `put` will say False, and what has reached the engine is answered.
        """
        with self._changed:
            self._known.discard(number)
            for line in self._lines.values():
                job = next((one for one in line if one.work.number == number), None)
                if job is not None:
                    line.remove(job)
                    return True
        return False

    @property
    def is_empty(self) -> bool:
        """Tell whether no job waits."""
        with self._changed:
            return not self._waiting()

    def ask_check(self) -> None:
        """Ask for a check of the goldens when nothing else waits."""
        with self._changed:
            self._check_asked = True
            self._changed.notify()

    def take(self) -> list[Job]:
        """Wait for jobs, the line's before the page's; none means that the goldens are to be checked."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting() or self._check_asked)
            if not self._waiting():
                self._check_asked = False
                return []
            self._fill()
            jobs = [self._next()]
            while len(jobs) < self._batch and self._matches(jobs[0]):
                jobs.append(self._next())
            self._known.difference_update(job.work.number for job in jobs)
        return jobs

    def _waiting(self) -> int:
        return len(self._lines[True]) + len(self._lines[False])

    def _fill(self) -> None:
        end = monotonic() + self._delay
        while self._waiting() < self._batch and (left := end - monotonic()) > 0:
            self._changed.wait(left)

    def _next(self) -> Job:
        return (self._lines[True] or self._lines[False]).popleft()

    def _matches(self, first: Job) -> bool:
        line = self._lines[True] or self._lines[False]
        return bool(line) and line[0].work.recipe == first.work.recipe
