"""The protocol of a timing: warm up, then repeat until both the time and the count are reached."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from vipx.errors import UsageError

Clock = Callable[[], float]
Once = Callable[[int], Sequence[float]]
FEWEST = 3  # below this no percentile means anything, whatever it takes


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a timing lasts; the defaults are trtexec's, with more iterations.

    Attributes:
        seconds: It lasts at least this long,
        iterations: and has at least as many iterations,
        most_seconds: but ends here on a slow machine, and says so. A quarter of it at most is for warming up.
        warm_up_seconds: Runs that are not counted last at least this long,
        warm_up_runs: and are at least as many.
    """

    seconds: float = 3.0
    iterations: int = 100
    most_seconds: float = 120.0
    warm_up_seconds: float = 0.2
    warm_up_runs: int = 10

    def __post_init__(self) -> None:
        if self.seconds < 0 or self.iterations < FEWEST or self.warm_up_runs < 1:
            raise UsageError(
                f"expected at least 0 seconds, {FEWEST} iterations and 1 run to warm up, "
                f"got {self.seconds}, {self.iterations} and {self.warm_up_runs}"
            )
        if self.most_seconds <= self.seconds:
            raise UsageError(
                f"--most-seconds {self.most_seconds:g} must exceed --seconds {self.seconds:g}"
            )


@dataclass(frozen=True, slots=True)
class Series:
    """What was timed.

    Attributes:
        rows: Milliseconds; what `once` gave in its order, then the whole call by the clock.
        seconds: From the first to the last counted iteration.
        warm_up_runs: How many were not counted.
        first: Milliseconds of the very first run, which allocates and compiles.
        notes: What was cut short.
    """

    rows: Float64[ndarray, "iterations columns"]
    seconds: float
    warm_up_runs: int
    first: float
    notes: tuple[str, ...]


def repeat(once: Once, limits: Limits, clock: Clock = perf_counter) -> Series:
    """Time `once`, called with the number of the iteration; it gives milliseconds of its parts."""
    notes: list[str] = []
    start = clock()
    once(0)
    first = 1000 * (clock() - start)
    warm_ups = 1 + _warm_up(once, limits, clock, start)
    if warm_ups < limits.warm_up_runs:
        notes.append(
            f"warmed up with {warm_ups} of {limits.warm_up_runs} runs: this machine is slow"
        )
    # One flat array of doubles grows without an object for each number, and outside the marks.
    flat, count = array("d"), 0
    begin = now = clock()
    while count < FEWEST or not _enough(now - begin, count, limits):
        mark = clock()
        parts = once(count)
        now = clock()
        flat.extend(parts)
        flat.append(1000 * (now - mark))
        count += 1
    if count < limits.iterations:
        notes.append(
            f"stopped after {now - begin:.1f} s with {count} of {limits.iterations} iterations: "
            "this machine is slow"
        )
    rows = np.frombuffer(flat, np.float64).reshape(count, -1)
    return Series(rows, now - begin, warm_ups, first, tuple(notes))


def _warm_up(once: Once, limits: Limits, clock: Clock, start: float) -> int:
    runs = 0
    while True:
        spent = clock() - start
        done = spent >= limits.warm_up_seconds and runs + 1 >= limits.warm_up_runs
        if done or spent >= limits.most_seconds / 4:
            return runs
        once(runs)
        runs += 1


def _enough(spent: float, count: int, limits: Limits) -> bool:
    reached = spent >= limits.seconds and count >= limits.iterations
    return reached or spent >= limits.most_seconds
