"""The engine's thread gets the line's jobs first, batches of one recipe, and nothing that was cancelled."""

from threading import Thread
from typing import TYPE_CHECKING

import numpy as np

from vipx.runtime.server.work.channel.messages import Work
from vipx.runtime.server.work.child.desk import Desk, Job

if TYPE_CHECKING:
    from collections.abc import Sequence

IMAGE = np.zeros((2, 2, 3), np.uint8)


def job(number: int, *, line: bool = True, recipe: str = "part") -> Job:
    return Job(Work(number, 0, 12, 2, 2, recipe, line, "none"), IMAGE, (2, 2), 1)


def desk_with(jobs: "Sequence[Job]", batch: int = 1) -> Desk:
    desk = Desk(batch)
    for one in jobs:
        desk.expect(one.work.number)
        assert desk.put(one)
    return desk


def taken(desk: Desk) -> list[int]:
    return [one.work.number for one in desk.take()]


def test_the_line_is_taken_before_the_page() -> None:
    desk = desk_with([job(1, line=False), job(2), job(3, line=False), job(4)])
    assert [taken(desk) for _ in range(4)] == [[2], [4], [1], [3]]


def test_a_batch_holds_one_recipe_alone() -> None:
    jobs = [job(1), job(2), job(3, recipe="other"), job(4)]
    desk = desk_with(jobs, batch=4)
    assert [taken(desk) for _ in range(3)] == [[1, 2], [3], [4]]


def test_cancelled_work_never_reaches_the_engine() -> None:
    desk = desk_with([job(1), job(2)])
    assert desk.forget(1)
    assert not desk.forget(1)
    desk.expect(3)
    assert not desk.forget(3)
    assert not desk.put(job(3))
    assert taken(desk) == [2]
    assert not desk.forget(2)


def test_goldens_are_checked_when_nothing_waits() -> None:
    desk = desk_with([job(1)])
    desk.ask_check()
    assert taken(desk) == [1]
    assert taken(desk) == []


def test_take_waits_for_a_job_of_another_thread() -> None:
    desk, found = Desk(), list[list[int]]()
    thread = Thread(target=lambda: found.append(taken(desk)))
    thread.start()
    desk.expect(5)
    assert desk.put(job(5))
    thread.join(10)
    assert found == [[5]]


def test_a_batch_waits_a_moment_to_fill() -> None:
    desk, found = Desk(2, delay_s=30.0), list[list[int]]()
    for one in (job(1), job(2)):
        desk.expect(one.work.number)
    thread = Thread(target=lambda: found.append(taken(desk)))
    thread.start()
    desk.put(job(1))
    desk.put(job(2))
    thread.join(10)
    assert found == [[1, 2]]
