"""How many pictures ranges are taken from."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
# More pictures take time and change little: docs/int8.md.
MOST_WATCHED, LEAST = 64, 8


def spread(pictures: Sequence[T], most: int = MOST_WATCHED) -> list[T]:
    """Take at most so many, evenly spread over the folders that they were listed from."""
    count = min(most, len(pictures))
    return [pictures[number * len(pictures) // count] for number in range(count)]
