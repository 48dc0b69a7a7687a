"""The queue keeps its bound, its order and its priorities; pauses and failures follow their rule."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipx.runtime.server.work.booking.waiting import WaitingLine
from vipx.runtime.server.work.restarts import Restarts
from vipx.runtime.server.work.task import Priority

PRIORITIES: list[Priority] = ["line", "page"]
STEPS = st.lists(
    st.tuples(st.sampled_from(["line", "page", "take"]), st.integers(0, 20)), max_size=80
)


@dataclass(eq=False, frozen=True)
class Item:
    priority: Priority
    number: int


@given(steps=STEPS, bound=st.integers(1, 6))
def test_queue_keeps_bound_and_order_and_gives_up_only_the_page_for_the_line(
    steps: list[tuple[str, int]], bound: int
) -> None:
    queue: WaitingLine[Item] = WaitingLine(bound)
    waiting: list[Item] = []
    for number, (what, which) in enumerate(steps):
        if what == "take":
            if waiting:
                item = waiting.pop(which % len(waiting))
                assert queue.remove(item)
                assert not queue.remove(item)
            continue
        item = Item("line" if what == "line" else "page", number)
        displaced = queue.add(item)
        pages = [one for one in waiting if one.priority == "page"]
        if len(waiting) < bound:
            assert displaced is None
        elif item.priority == "line" and pages:
            assert displaced is pages[-1]
            waiting.remove(pages[-1])
        else:
            assert displaced is item
            continue
        waiting.append(item)
        assert len(queue) <= bound
    assert list(queue) == sorted(waiting, key=lambda one: (one.priority, one.number))
    for priority in PRIORITIES:
        mine = [one for one in waiting if one.priority == priority]
        assert queue.head(priority) is (mine[0] if mine else None)
    assert queue.clear() == sorted(waiting, key=lambda one: (one.priority, one.number))
    assert len(queue) == 0


def restarts() -> Restarts:
    return Restarts((1.0, 2.0, 5.0, 10.0), most=3, window_s=60.0, settle_s=10.0)


def test_pauses_grow_to_the_last_and_start_over_after_a_child_that_held() -> None:
    rule = restarts()
    assert [rule.failed(float(n), 0.5) for n in range(6)] == [1, 2, 5, 10, 10, 10]
    assert rule.failed(100.0, 10.0) == 1
    assert rule.failed(101.0, 0.0) == 2
    assert rule.count == 8


@pytest.mark.parametrize(
    ("moments", "now", "many"),
    [
        ([0.0, 1.0], 1.0, False),
        ([0.0, 1.0, 2.0], 2.0, True),
        ([0.0, 1.0, 61.0], 61.0, False),
        ([0.0, 30.0, 60.0], 60.0, True),
    ],
)
def test_three_failures_within_a_minute_are_too_many(
    moments: list[float], now: float, many: bool
) -> None:
    rule = restarts()
    for moment in moments:
        rule.failed(moment, 0.0)
    assert rule.too_many(now) is many
    rule.forgive()
    assert not rule.too_many(now)
