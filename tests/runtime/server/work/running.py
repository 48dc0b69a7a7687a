"""Pools for tests: quick to give up, quick to start again."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from dataclasses import replace
from threading import Thread
from time import monotonic
from typing import Any, TypeVar

from tests.runtime.server.work.fake import DEMO, HOOK
from vipx.runtime.server.work.pool import Pool
from vipx.runtime.server.work.recipes import LoadedRecipe
from vipx.runtime.server.work.settings import Patience, WorkSettings

Result = TypeVar("Result")
HASTY = Patience(run_s=0.5, pauses_s=(0.05,), settle_s=0.0)
PART = LoadedRecipe("part", threshold=0.6, review=0.5)


def fake_settings(opener: str = "open_fake", **changes: Any) -> WorkSettings:
    settings = WorkSettings(DEMO, (PART,), patience=HASTY, engine_hook=f"{HOOK}:{opener}")
    return replace(settings, **changes)


def with_pool(settings: WorkSettings, test: Callable[[Pool], Awaitable[Result]]) -> Result:
    """Run a test with a pool of its own."""

    async def whole() -> Result:
        pool = Pool(settings)
        await pool.start()
        try:
            return await test(pool)
        finally:
            await pool.close(0.0)

    return asyncio.run(whole())


async def until_ready(pool: Pool, seconds: float = 20.0) -> float:
    """Wait until an engine is there again, and give how long that took."""
    start = monotonic()
    while not pool.state.ready:
        assert monotonic() - start < seconds, pool.state
        await asyncio.sleep(0.01)
    return monotonic() - start


class Background:
    """A pool on a loop in a thread, for several tests."""

    def __init__(self, settings: WorkSettings) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()
        self.pool = Pool(settings)
        self.run(self.pool.start())

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        future: Future[Result] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(60)

    def close(self) -> None:
        self.run(self.pool.close(0.0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
