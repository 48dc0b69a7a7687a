"""What should never end is started again, and its end is told."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from vipx.runtime.server.peers.keeping import Kept


class Run:
    """Ends as often as `faults` says, then runs on."""

    def __init__(self, *faults: Exception | None) -> None:
        self.faults = list(faults)
        self.times = 0

    async def __call__(self) -> None:
        self.times += 1
        if not self.faults:
            await asyncio.Event().wait()
        fault = self.faults.pop(0)
        if fault is not None:
            raise fault


def keep(
    run: Run, until: Callable[[Kept], bool], settle_s: float = 60.0
) -> tuple[Kept, list[float]]:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    async def whole() -> Kept:
        kept = Kept("sink x", run, pause, settle_s)
        kept.start()
        while not until(kept):
            await asyncio.sleep(0.001)
        await kept.stop()
        return kept

    return asyncio.run(asyncio.wait_for(whole(), 10)), pauses


def test_a_bug_is_logged_told_and_started_again(caplog: pytest.LogCaptureFixture) -> None:
    run = Run(ValueError("a bug"))
    with caplog.at_level(logging.ERROR):
        kept, pauses = keep(run, lambda _: run.times == 2)
    assert "ValueError: a bug" in (kept.alarm or "")
    assert (kept.restarts, pauses) == (1, [1.0])
    assert "Traceback" in caplog.text


def test_an_end_without_error_is_told_as_well() -> None:
    run = Run(None)
    kept, _ = keep(run, lambda _: run.times == 2)
    assert "by itself" in (kept.alarm or "")


def test_pauses_grow_and_have_an_end() -> None:
    run = Run(*[OSError("x")] * 7)
    _, pauses = keep(run, lambda _: run.times == 8)
    assert pauses == [1.0, 2.0, 5.0, 10.0, 30.0, 30.0, 30.0]


def test_what_runs_for_a_while_is_well_again() -> None:
    run = Run(OSError("x"))
    kept, _ = keep(run, lambda kept: run.times == 2 and kept.alarm is None, settle_s=0.02)
    assert (kept.alarm, kept.restarts) == (None, 1)


def test_a_task_that_somebody_else_cancels_does_not_end_in_silence() -> None:
    async def whole() -> Kept:
        inner: list[asyncio.Task[None] | None] = []

        async def run() -> None:
            inner.append(asyncio.current_task())
            await asyncio.Event().wait()

        kept = Kept("x", run)
        kept.start()
        while not inner:
            await asyncio.sleep(0.001)
        assert inner[0] is not None
        inner[0].cancel()
        while kept.alarm is None:
            await asyncio.sleep(0.001)
        return kept

    assert "cancelled" in (asyncio.run(asyncio.wait_for(whole(), 10)).alarm or "")


def test_stopping_is_no_alarm() -> None:
    run = Run()
    kept, _ = keep(run, lambda _: run.times == 1)
    assert (kept.alarm, kept.restarts) == (None, 0)
