"""Waits for what must not be broken off in the middle."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def completed(work: Awaitable[T]) -> T:
    """Give the result of some work; a caller that is cancelled meanwhile still waits for its end.

    A file that was inspected is then also moved, and a message that was delivered also forgotten.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # nobody is left to be told of it
        raise
