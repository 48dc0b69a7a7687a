"""When a child that failed is started again, and when it has failed too often."""

from collections import deque


class Restarts:
    """Pauses that grow with every failure until a child has held for a while.

    Args:
        pauses_s: Before the first, second, ... start in a row; the last one repeats.
        most: This many failures within the window are too many.
        window_s: How long a failure is remembered.
        settle_s: A child that served this long makes the pauses start over.
    """

    def __init__(
        self, pauses_s: tuple[float, ...], most: int, window_s: float, settle_s: float
    ) -> None:
        self._pauses, self._most = pauses_s, most
        self._window, self._settle = window_s, settle_s
        self._failures: deque[float] = deque(maxlen=most)
        self._in_a_row = 0
        self.count = 0

    def failed(self, now: float, served_s: float) -> float:
        """Note a failure of a child that had served so long, and give the pause before the next start."""
        self._in_a_row = 1 if served_s >= self._settle else self._in_a_row + 1
        self._failures.append(now)
        self.count += 1
        return self._pauses[min(self._in_a_row, len(self._pauses)) - 1]

    def too_many(self, now: float) -> bool:
        """Tell whether the remembered failures are as many as are too many."""
        recent = [moment for moment in self._failures if now - moment <= self._window]
        return len(recent) >= self._most

    def forgive(self) -> None:
        """Forget the failures, but not how long to pause."""
        self._failures.clear()
