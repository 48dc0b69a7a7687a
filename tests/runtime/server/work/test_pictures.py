"""No file harms the child: a broken one is an error or the picture that it holds, and bombs are cheap."""

import asyncio
import os
from pathlib import Path
from time import monotonic

import numpy as np
import pytest

from tests.pictures import png_bomb
from tests.runtime.server.work.broken import bombs, broken_files, valid_files
from tests.runtime.server.work.fake import SIDE, score_of
from tests.runtime.server.work.running import PART, fake_settings, with_pool
from vipx.errors import ImageError
from vipx.images import decode_image, resize_image
from vipx.runtime.server.work.pool import Pool
from vipx.runtime.server.work.recipes import LoadedRecipe
from vipx.runtime.server.work.task import Outcome, Task

COUNT = 10_000 if os.environ.get("VIPX_FULL") else 150
SOUND = fake_settings("open_sound", recipes=(LoadedRecipe("part", threshold=1.0),))


def expected_score(data: bytes) -> float | None:
    """What the picture that the file holds scores; None if it holds none."""
    try:
        pixels = decode_image(data, name="a")
    except ImageError:
        return None
    return score_of(resize_image(pixels, height=SIDE, width=SIDE))


async def result(pool: Pool, data: bytes) -> Outcome | ImageError:
    try:
        return await pool.inspect(Task("part", data, deadline_s=60.0))
    except ImageError as error:
        return error


async def fuzz(pool: Pool) -> tuple[int, int, int]:
    restarts, refused, accepted = pool.state.restarts, 0, 0
    for name, data in broken_files(COUNT, seed=11):
        answer, expected = await result(pool, data), expected_score(data)
        if isinstance(answer, ImageError):
            assert expected is None, name
            refused += 1
        else:
            assert answer.score == expected, name
            assert not name.endswith("cut") or name.startswith("BMP"), name
            accepted += 1
    return refused, accepted, pool.state.restarts - restarts


def test_every_valid_file_is_accepted() -> None:
    assert all(expected_score(data) is not None for data in valid_files().values())


def test_broken_files_are_errors_or_the_picture_that_they_hold_and_never_harm_the_child() -> None:
    refused, accepted, restarts = with_pool(SOUND, fuzz)
    print(f"{COUNT} broken files: {refused} refused, {accepted} pictures")
    assert refused + accepted == COUNT
    assert refused > COUNT / 2
    assert restarts == 0


def memory(process: int | None, name: str) -> int:
    rows = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith(name))


async def explode(pool: Pool) -> dict[str, tuple[float, int, str]]:
    found = {}
    await result(pool, next(iter(valid_files().values())))
    for name, data in bombs().items():
        Path(f"/proc/{pool.state.pid}/clear_refs").write_text("5")  # restart the peak's count
        before, start = memory(pool.state.pid, "VmRSS"), monotonic()
        answer = await result(pool, data)
        spent = 1000 * (monotonic() - start)
        what = str(answer) if isinstance(answer, ImageError) else answer.verdict.value
        found[name] = (spent, memory(pool.state.pid, "VmHWM") - before, what)
    assert pool.state.restarts == 0
    return found


@pytest.mark.slow
def test_bombs_are_answered_at_once_and_take_no_memory() -> None:
    found = with_pool(SOUND, explode)
    for name, (spent, grown, what) in found.items():
        print(f"{name}: {spent:.0f} ms, {grown / 2**20:+.1f} MB, {what}")
    assert len(found) == 8
    for name, (spent, grown, _) in found.items():
        assert spent < 200, name
        assert grown < 64 * 2**20, name


@pytest.mark.slow
def test_a_slow_file_does_not_hold_up_the_camera() -> None:
    """Thirty-six million pixels decode for most of a second; frames are answered meanwhile."""

    async def test(pool: Pool) -> int:
        large = asyncio.create_task(pool.inspect(Task("part", huge, "page", deadline_s=60.0)))
        await asyncio.sleep(0)
        frame, meanwhile = np.full((SIDE, SIDE, 3), 9, np.uint8), -1
        while not large.done():
            await pool.inspect(Task("part", frame, deadline_s=60.0))
            meanwhile += 1
        assert (await large).size == (6000, 6000)
        return meanwhile

    huge = png_bomb(6000)
    assert with_pool(fake_settings("open_sound", recipes=(PART,)), test) > 3
