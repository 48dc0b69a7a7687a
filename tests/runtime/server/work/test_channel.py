"""Messages go through a line unchanged, whatever is no message is refused, and slots keep what was put in."""

import dataclasses
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vipx.runtime.server.work.channel.messages import (
    Answer,
    Message,
    Started,
    Work,
    line_of,
    message_of,
)
from vipx.runtime.server.work.channel.slots import Slots

NUMBERS = st.integers(0, 2**40)


@given(score=st.floats(0, 1), reason=st.text(), number=NUMBERS)
def test_answers_keep_every_bit_of_their_score(score: float, reason: str, number: int) -> None:
    answer = Answer(number=number, verdict="OK", reason=reason, score=score, regions=[[1, 2, 0.5]])
    line = line_of(answer)
    assert line.count(b"\n") == 1
    assert message_of(line) == answer


def test_a_score_that_is_no_number_cannot_be_sent() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        line_of(Answer(number=1, verdict="OK", reason="", score=float("nan")))


def test_every_kind_of_message_is_known_by_its_name() -> None:
    assert message_of(line_of(Started([1, 2]))) == Started([1, 2])
    work = Work(1, 2, 3, 4, 5, "part", True, "none")
    assert message_of(line_of(work)) == work
    assert all(dataclasses.is_dataclass(kind) for kind in get_args(Message))


@pytest.mark.parametrize(
    "line",
    [b"", b"\n", b"{}", b"[]", b"3", b'{"kind": "Pickle"}', b'{"kind": "Beat", "x": 1}', b"\xff"],
)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="no message"):
        message_of(line)


@given(data=st.binary(max_size=3000), slot=st.integers(0, 2))
def test_slots_keep_files_and_do_not_touch_their_neighbours(data: bytes, slot: int) -> None:
    slots = Slots(3, 4096)
    others = [one for one in range(3) if one != slot]
    for other in others:
        slots.put_bytes(other, b"\xaa" * slots.size)
    slots.put_bytes(slot, data)
    assert slots.bytes_of(slot, len(data)) == data
    assert all(slots.bytes_of(other, slots.size) == b"\xaa" * slots.size for other in others)
    slots.close()


def test_two_processes_see_the_same_slots_and_large_ones_are_given_back() -> None:
    ours = Slots(2, 16 * 2**20)
    theirs = Slots(2, ours.size, ours.descriptor)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    ours.put_pixels(1, pixels)
    np.testing.assert_array_equal(theirs.pixels_of(1, 20, 30), pixels)
    heat = np.random.default_rng(0).random((7, 9), np.float32)
    theirs.put_map(1, heat)
    np.testing.assert_array_equal(ours.map_of(1, 7, 9), heat)
    ours.release(1, 100)
    assert ours.map_of(1, 7, 9)[0, 0] == heat[0, 0]
    ours.release(1, 9 * 2**20)
    assert not ours.map_of(1, 7, 9).any()
    ours.close()
