"""Whatever an engine does, nothing is OK without an answer of a checked engine."""

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from time import monotonic

import pytest

from tests.runtime.server.work.fake import DEMO, FAULTS, HOOK, image
from tests.runtime.server.work.running import (
    HASTY,
    PART,
    Background,
    fake_settings,
    until_ready,
    with_pool,
)
from vipx.errors import BundleError, EngineError, GateError, UsageError
from vipx.runtime.engines.engine import EngineOptions
from vipx.runtime.server.work.faults import EngineDown, WorkError
from vipx.runtime.server.work.pool import Pool
from vipx.runtime.server.work.settings import Bounds, WorkSettings
from vipx.runtime.server.work.task import Outcome, Task
from vipx.verdict import Verdict

STAYS = ("nan score", "nan map", "score above 1", "wrong shape", "missing output")
DIES = ("exception", "memory error", "real shortage", "exit")
HANGS = ("hang", "hang with the lock")
TIMES = 20 if os.environ.get("VIPX_FULL") else 1


@pytest.fixture(scope="module")
def running() -> Iterator[Background]:
    bounds = Bounds(decode_bytes=2**28)
    background = Background(fake_settings(bounds=bounds))
    yield background
    background.close()


async def answer(pool: Pool, fault: str) -> Outcome:
    await until_ready(pool)
    return await pool.inspect(Task("part", image(10, fault), maps="all"))


def check_error(outcome: Outcome) -> None:
    assert outcome.verdict is Verdict.ERROR
    assert outcome.score is None
    assert outcome.anomaly_map is None
    assert outcome.regions == ()
    assert outcome.reason


@pytest.mark.parametrize("fault", STAYS * TIMES)
def test_an_answer_that_cannot_be_right_is_an_error_and_the_goldens_decide_on_the_engine(
    running: Background, fault: str
) -> None:
    before = running.pool.state.restarts
    check_error(running.run(answer(running.pool, fault)))
    assert running.run(answer(running.pool, "none")).verdict is Verdict.OK
    assert running.pool.state.restarts == before


@pytest.mark.parametrize("fault", DIES * TIMES)
def test_an_engine_that_fails_answers_error_and_another_child_is_started(
    running: Background, fault: str
) -> None:
    before = running.pool.state.restarts
    check_error(running.run(answer(running.pool, fault)))
    assert running.run(answer(running.pool, "none")).verdict is Verdict.OK
    assert running.pool.state.restarts == before + 1


@pytest.mark.slow
@pytest.mark.parametrize("fault", HANGS * TIMES)
def test_an_engine_that_hangs_is_killed(running: Background, fault: str) -> None:
    before = running.pool.state.restarts
    start = monotonic()
    check_error(running.run(answer(running.pool, fault)))
    assert monotonic() - start < 5
    assert running.run(answer(running.pool, "none")).verdict is Verdict.OK
    assert running.pool.state.restarts == before + 1


def test_every_fault_is_injected_somewhere() -> None:
    assert {*STAYS, *DIES, *HANGS, "none", "hold 50 ms"} == set(FAULTS)


async def attack(pool: Pool, number: int) -> tuple[float, list[object]]:
    """Signal the child amid work, and give the seconds until it answers again, and what was answered."""
    await until_ready(pool)
    answers: list[object] = []
    held = asyncio.create_task(pool.inspect(Task("part", image(10, "hold 50 ms"))))
    asking = [
        asyncio.create_task(pool.inspect(Task("part", image(10), deadline_s=9.0))) for _ in range(5)
    ]
    await asyncio.sleep(0.02)
    process = pool.state.pid
    assert process is not None
    os.kill(process, number)
    start = monotonic()
    answers += await asyncio.gather(held, *asking, return_exceptions=True)
    while pool.state.pid in (None, process):
        try:
            await pool.inspect(Task("part", image(10)))
        except WorkError as error:
            answers.append(error)
        await asyncio.sleep(0.01)
    assert (await pool.inspect(Task("part", image(10)))).verdict is Verdict.OK
    return monotonic() - start, answers


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)]
)
def test_a_killed_or_stopped_child_is_replaced_and_none_of_its_parts_is_ok(
    running: Background, number: signal.Signals
) -> None:
    for _ in range(TIMES):
        seconds, answers = running.run(attack(running.pool, number))
        assert seconds < 5
        assert isinstance(answers[0], Outcome)
        check_error(answers[0])
        assert all(isinstance(one, EngineDown) for one in answers[1:])


def test_goldens_that_do_not_hold_stop_the_start() -> None:
    with pytest.raises(GateError, match="golden"):
        with_pool(fake_settings("open_wrong"), until_ready)


def test_an_engine_that_does_not_start_says_why() -> None:
    with pytest.raises(EngineError, match="three threads"):
        with_pool(fake_settings("open_by_threads", options=EngineOptions(threads=3)), until_ready)


def test_a_bundle_that_is_not_there_says_so() -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        with_pool(replace(fake_settings(), bundle=DEMO / "other"), until_ready)


def test_a_child_that_ends_at_once_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="attribute 'no_such_name'"):
        with_pool(fake_settings("no_such_name"), until_ready)


def degrading(primary: int, fallback: int) -> WorkSettings:
    patience = replace(HASTY, pauses_s=(0.01,), failures=2)
    return fake_settings(
        "open_by_threads",
        options=EngineOptions(threads=primary),
        fallback=EngineOptions(threads=fallback),
        patience=patience,
    )


def test_too_many_failures_bring_the_fallback_and_say_so() -> None:
    async def test(pool: Pool) -> None:
        assert pool.state.degraded is not None
        assert "three threads" in pool.state.degraded
        assert (await pool.inspect(Task("part", image(10)))).verdict is Verdict.OK

    with_pool(degrading(primary=3, fallback=1), test)


@pytest.mark.slow
def test_a_fallback_whose_goldens_do_not_hold_is_never_used() -> None:
    with pytest.raises(GateError, match="golden"):
        with_pool(degrading(primary=3, fallback=2), until_ready)


def test_a_lost_engine_is_not_asked_and_says_when_to_come_back() -> None:
    async def test(pool: Pool) -> EngineDown:
        await answer(pool, "exit")
        with pytest.raises(EngineDown) as caught:
            await pool.inspect(Task("part", image(10)))
        with pytest.raises(EngineDown):
            await pool.replace_recipe("part", PART)
        assert not pool.state.ready
        assert pool.state.reason == caught.value.reason
        return caught.value

    patience = replace(HASTY, pauses_s=(30.0,))
    error = with_pool(fake_settings(patience=patience), test)
    assert error.retry_after_s is not None
    assert 25 < error.retry_after_s < 40
    assert "exit code 9" in error.reason


def test_an_idle_engine_checks_its_goldens_again() -> None:
    async def test(pool: Pool) -> None:
        await asyncio.sleep(0.5)
        assert pool.state.restarts == 0
        assert (await pool.inspect(Task("part", image(10)))).verdict is Verdict.OK

    patience = replace(HASTY, goldens_s=0.05, idle_s=0.0)
    with_pool(fake_settings(patience=patience), test)


def test_an_idle_engine_whose_goldens_fail_is_replaced() -> None:
    async def test(pool: Pool) -> str | None:
        while not (reason := pool.state.reason):
            await asyncio.sleep(0.01)
        return reason

    patience = replace(HASTY, goldens_s=0.05, idle_s=0.0, pauses_s=(30.0,))
    reason = with_pool(fake_settings("open_fading", patience=patience), test)
    assert reason is not None
    assert "golden" in reason


def test_a_hook_is_no_way_in_for_files() -> None:
    """Only code names it; the command, the settings file and the protocol have no word for it."""
    with pytest.raises(UsageError, match="module:function"):
        fake_settings(engine_hook=HOOK)
