"""The bounded queue with two priorities; it knows nothing of time, processes or sockets."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar, runtime_checkable

from vipx.runtime.server.work.task import Priority


@runtime_checkable
class Prioritised(Protocol):
    """What can wait here."""

    @property
    def priority(self) -> Priority:
        """Say in which of the two lines it stands."""


Item = TypeVar("Item", bound=Prioritised)


class WaitingLine(Generic[Item]):
    """At most `bound` items; the line's before the page's, each in the order they came."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._lines: dict[Priority, deque[Item]] = {"line": deque(), "page": deque()}

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def __iter__(self) -> Iterator[Item]:
        yield from self._lines["line"]
        yield from self._lines["page"]

    def add(self, item: Item) -> Item | None:
        """Put an item at the end of its line.

        Returns:
            What had to leave: the youngest of the page's when the line needs its place, the item itself when
            no place can be had, or None.
        """
        displaced: Item | None = None
        if len(self) >= self._bound:
            if item.priority == "page" or not self._lines["page"]:
                return item
            displaced = self._lines["page"].pop()
        self._lines[item.priority].append(item)
        return displaced

    def head(self, priority: Priority) -> Item | None:
        """Look at who is next in one line."""
        line = self._lines[priority]
        return line[0] if line else None

    def remove(self, item: Item) -> bool:
        """Take an item out wherever it stands; False if it does not wait here."""
        line = self._lines[item.priority]
        # Asked first: the error of `remove` would hold the item's text, and so a whole image's.
        if item not in line:
            return False
        line.remove(item)
        return True

    def clear(self) -> list[Item]:
        """Empty the queue and give what waited."""
        items = list(self)
        for line in self._lines.values():
            line.clear()
        return items
