"""Raw frames become lossless pictures, and no row waits for them."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.runtime.server.storage.records import eventually, record, with_store
from vipx.runtime.server.storage import rows
from vipx.runtime.server.storage.pictures import PictureBatch, lasting, paths_of
from vipx.runtime.server.storage.png import frame_png
from vipx.runtime.server.storage.reader import Filter
from vipx.runtime.server.storage.record import Record, Result
from vipx.runtime.server.storage.settings import Retention
from vipx.runtime.server.storage.store import Store
from vipx.runtime.server.storage.writing import frames as frames_module
from vipx.runtime.server.storage.writing.frames import FrameKeeper, Written
from vipx.verdict import Verdict

HEADER, FRAME_BYTES = 100, 20 * 30 * 3


def frame(seed: int = 0, height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def framed(verdict: Verdict = Verdict.NG, seed: int = 0, **changed: Any) -> Record:
    return record(verdict, image=None, frame=frame(seed), **changed)


async def with_picture(store: Store, result_id: str) -> Result:
    for _ in range(2000):
        result = await store.get(result_id)
        assert result is not None
        if result.image is not None:
            return result
        await asyncio.sleep(0.01)
    raise AssertionError("its picture never came")


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_frame_is_kept_pixel_for_pixel(tmp_path: Path, verdict: Verdict) -> None:
    given = framed(verdict, 3)

    async def use(store: Store) -> Result:
        assert (await store.append(given)).stored
        return await with_picture(store, given.result_id)

    result = with_store(tmp_path, use)
    assert result.image is not None
    path = tmp_path / result.image
    assert path.parent.name == verdict.value
    with Image.open(path) as kept:
        assert np.array_equal(np.asarray(kept), frame(3))


def test_a_row_does_not_wait_for_its_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let, encode = threading.Event(), frame_png

    def slow(pixels: np.ndarray) -> bytes:
        let.wait(20)
        return encode(pixels)

    monkeypatch.setattr(frames_module, "frame_png", slow)
    given = framed()

    async def use(store: Store) -> None:
        for _ in range(5):
            assert (await store.append(framed())).stored
        assert (await store.append(given)).stored
        assert all(result.image is None for result in await store.find(Filter()))
        let.set()
        await with_picture(store, given.result_id)

    with_store(tmp_path, use)


def test_only_sampled_frames_are_kept(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        for _ in range(4):
            await store.append(framed(Verdict.OK))

    async def look(store: Store) -> list[bool]:
        return [result.image is not None for result in await store.find(Filter())]

    with_store(tmp_path, use, ok=Retention(sample=3))
    assert with_store(tmp_path, look) == [True, False, False, True]


def test_the_frame_is_copied_before_its_owner_may_change_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let, encode = threading.Event(), frame_png
    monkeypatch.setattr(frames_module, "frame_png", lambda each: let.wait(20) and encode(each))
    pixels = frame(5)
    given = record(image=None, frame=pixels)

    async def use(store: Store) -> Result:
        await store.append(given)
        pixels[:] = 0
        let.set()
        return await with_picture(store, given.result_id)

    result = with_store(tmp_path, use)
    assert result.image is not None
    with Image.open(tmp_path / result.image) as kept:
        assert np.array_equal(np.asarray(kept), frame(5))


@pytest.mark.parametrize(
    ("body", "stays"),
    [
        (bytes(HEADER + FRAME_BYTES), True),
        (bytearray(HEADER + FRAME_BYTES), False),
        (bytes(HEADER + FRAME_BYTES + 2**17), False),
    ],
    ids=["a body of its own", "what may change", "a large body of others"],
)
def test_only_what_nobody_changes_is_held_where_it_lies(body: bytes, stays: bool) -> None:
    whole = np.frombuffer(memoryview(body)[HEADER : HEADER + FRAME_BYTES], np.uint8)
    view = whole.reshape(1, 20, 30, 3)[0]
    held = lasting(view)
    assert np.array_equal(held, view)
    assert np.shares_memory(held, view) is stays


def test_a_view_of_what_may_change_is_copied() -> None:
    pixels = frame()
    view = pixels[:]
    view.flags.writeable = False
    assert not np.shares_memory(lasting(view), pixels)


def test_its_bytes_count_for_the_retention_rules(tmp_path: Path) -> None:
    given = framed(heat_map=None)

    async def use(store: Store) -> tuple[int, int]:
        await store.append(given)
        result = await with_picture(store, given.result_id)
        assert result.image is not None
        size = (tmp_path / result.image).stat().st_size
        return size, sum(total.bytes for total in store.reader.totals())

    size, counted = with_store(tmp_path, use)
    assert size == counted > 0


def test_a_picture_whose_row_is_gone_leaves_no_file(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        for seed in range(30):
            await store.append(framed(seed=seed))
        await eventually(lambda: len(list(tmp_path.rglob("*.map.png"))) <= 2)

    with_store(tmp_path, use, ng=Retention(count=2), sweep_s=0.01)

    async def names(store: Store) -> set[str]:
        found = await store.find(Filter())
        return {path for one in found for path in (one.image, one.heat_map) if path}

    kept = with_store(tmp_path, names)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")} == kept


def test_a_disk_that_refuses_the_picture_costs_it_and_not_the_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pixels: np.ndarray) -> bytes:
        raise OSError(28, "No space left on device")

    async def use(store: Store) -> None:
        monkeypatch.setattr(frames_module, "frame_png", refuse)
        assert (await store.append(framed())).stored
        await eventually(lambda: store.state().frames_lost == 1, 20)
        monkeypatch.setattr(frames_module, "frame_png", frame_png)
        later = framed()
        assert (await store.append(later)).stored
        await with_picture(store, later.result_id)
        assert store.state().frames_lost == 1

    with_store(tmp_path, use)


def test_a_row_that_cannot_be_changed_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> bool:
        raise sqlite3.OperationalError("database is locked")

    async def use(store: Store) -> None:
        monkeypatch.setattr(rows, "add_picture", locked)
        assert (await store.append(framed(heat_map=None))).stored
        await eventually(lambda: store.state().frames_lost == 1, 20)

    with_store(tmp_path, use)
    assert list(tmp_path.rglob("*.png")) == []


def test_what_waits_is_bounded_and_frames_of_good_parts_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let, begun, encode = threading.Event(), threading.Event(), frame_png

    def slow(pixels: np.ndarray) -> bytes:
        begun.set()
        let.wait(20)
        return encode(pixels)

    monkeypatch.setattr(frames_module, "frame_png", slow)
    with ThreadPoolExecutor(1) as pool:
        keeper = FrameKeeper(tmp_path, pool, most_bytes=3 * frame().nbytes)
        keeper.offer(framed(Verdict.NG), 1)
        keeper.begin()
        begun.wait(20)  # it is being encoded, and still counts
        for seq, verdict in ((2, Verdict.OK), (3, Verdict.OK), (4, Verdict.OK), (5, Verdict.NG)):
            keeper.offer(framed(verdict), seq)
        keeper.offer(framed(Verdict.REVIEW), 6)
        keeper.offer(framed(Verdict.ERROR), 7)
        let.set()
        keeper.finish()
    assert [one.seq for one in keeper.take()] == [1, 5, 6]
    assert keeper.lost == 4


def kept(folder: Path, seeds: range, spoil: Callable[[list[Record]], None]) -> FrameKeeper:
    """Keep frames that are all made before the end."""
    records = [framed(seed=seed) for seed in seeds]
    with ThreadPoolExecutor(1) as pool:
        keeper = FrameKeeper(folder, pool)
        for seq, one in enumerate(records):
            keeper.offer(one, seq)
        spoil(records)
        keeper.begin()
        keeper.finish()
    return keeper


def test_pictures_are_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "_TOGETHER_S", 600)
    writes, write = [0], PictureBatch.write

    def counted(self: PictureBatch) -> None:
        writes[0] += 1
        write(self)

    monkeypatch.setattr(PictureBatch, "write", counted)
    keeper = kept(tmp_path, range(20), lambda _: None)
    assert [one.seq for one in keeper.take()] == list(range(20))
    assert (writes, keeper.lost) == ([1], 0)


def test_one_picture_that_cannot_be_written_costs_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def occupy(records: list[Record]) -> None:
        path, _ = paths_of(replace(records[2], image=frame_png(frame())))
        assert path is not None
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(b"another's")

    keeper = kept(tmp_path, range(5), occupy)
    written = keeper.take()
    assert [one.seq for one in written] == [0, 1, 3, 4]
    assert keeper.lost == 1
    for one in written:
        with Image.open(tmp_path / one.path) as read:
            assert np.array_equal(np.asarray(read), frame(one.seq))
    assert sorted(len(path.read_bytes()) for path in tmp_path.rglob("*.png"))[0] == 9
    assert len(caplog.records) == 1


def test_many_bytes_are_written_before_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames_module, "_TOGETHER_S", 600)
    monkeypatch.setattr(frames_module, "_TOGETHER_BYTES", 3 * len(frame_png(frame())))
    with ThreadPoolExecutor(1) as pool:
        keeper = FrameKeeper(tmp_path, pool)
        for seq in range(5):
            keeper.offer(framed(seed=seq), seq)
        keeper.begin()
        written: list[Written] = []
        end = monotonic() + 60
        while len(written) < 4:
            assert monotonic() < end
            written += keeper.take()
        keeper.finish()
    assert [one.seq for one in written + keeper.take()] == [0, 1, 2, 3, 4]


def test_a_folder_that_is_swept_away_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, make = [0], PictureBatch._make_folder

    def swept(self: PictureBatch, folder: Path) -> None:
        make(self, folder)
        made[0] += folder.name == "NG"
        if made[0] == 1 and folder.name == "NG":
            folder.rmdir()

    monkeypatch.setattr(PictureBatch, "_make_folder", swept)
    with ThreadPoolExecutor(1) as pool:
        keeper = FrameKeeper(tmp_path, pool)
        keeper.offer(framed(), 1)
        keeper.begin()
        keeper.finish()
    (written,) = keeper.take()
    assert (tmp_path / written.path).stat().st_size == written.size
