"""Small records, and stores that live as long as a block."""

import asyncio
import functools
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from vipx.runtime.server.storage.pictures import heat_map_png
from vipx.runtime.server.storage.record import Record, new_result_id
from vipx.runtime.server.storage.settings import StorageSettings
from vipx.runtime.server.storage.store import Store
from vipx.runtime.server.storage.writing.disk import DiskSpace
from vipx.runtime.server.work.task import Region
from vipx.verdict import Verdict

T = TypeVar("T")
NOON = 1_795_262_400_000  # 2026-11-21 12:00 UTC
ROOM = DiskSpace(total=10**12, free=5 * 10**11)


@functools.cache
def picture(seed: int = 0, *, kind: str = "PNG", size: tuple[int, int] = (48, 64)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=kind)
    return file.getvalue()


@functools.cache
def heat_map(peak: float = 0.9) -> bytes:
    values = np.zeros((24, 32), np.float32)
    values[8:14, 10:20] = peak
    return heat_map_png(values)


def record(verdict: Verdict = Verdict.NG, **changed: Any) -> Record:
    plain = Record(
        result_id=new_result_id(),
        time=NOON,
        recipe="bolt",
        part_id="P-1",
        verdict=verdict,
        score=0.8 if verdict is Verdict.NG else 0.2,
        threshold=0.5,
        reason="score 0.8000 reaches the threshold 0.5000",
        regions=(Region(3, 4, 10, 8, 60, 0.9),),
        microseconds={"infer": 1200},
        image=picture(),
        heat_map=heat_map(),
    )
    return replace(plain, **changed)


@asynccontextmanager
async def opened(folder: Path, **options: Any) -> AsyncIterator[Store]:
    sinks = options.pop("sinks", ())
    measure = options.pop("measure", lambda _: ROOM)
    plenty = {
        "patience_s": 30.0,
        "pending": 1000,
    }  # a busy machine must not decide what a test finds
    store = Store(StorageSettings(folder, **plenty | options), sinks, measure)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


def with_store(folder: Path, use: Callable[[Store], Awaitable[T]], **options: Any) -> T:
    async def run() -> T:
        async with opened(folder, **options) as store:
            return await use(store)

    return asyncio.run(run())


async def eventually(condition: Callable[[], bool], within: float = 30.0) -> None:
    """Wait for what another thread does; fails instead of hanging."""
    async with asyncio.timeout(within) if hasattr(asyncio, "timeout") else _no_limit():
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def _no_limit() -> AsyncIterator[None]:
    yield
