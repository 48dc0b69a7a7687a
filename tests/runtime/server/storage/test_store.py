import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.server.storage.records import (
    NOON,
    ROOM,
    eventually,
    opened,
    picture,
    record,
    with_store,
)
from vipx.errors import ArtifactError, UsageError
from vipx.runtime.server.storage.changes import (
    ResultNotFoundError,
    ThresholdChange,
    VersionConflictError,
)
from vipx.runtime.server.storage.reader import Filter
from vipx.runtime.server.storage.record import Receipt, Record, UlidSource, is_result_id
from vipx.runtime.server.storage.settings import StorageSettings
from vipx.runtime.server.storage.store import StorageStoppedError, Store
from vipx.runtime.server.storage.writing import writer
from vipx.runtime.server.storage.writing.disk import DiskSpace
from vipx.runtime.server.storage.writing.retention import sweep_step
from vipx.verdict import Verdict


def test_a_result_comes_back_as_it_was_given_and_its_files_hold_its_bytes(tmp_path: Path) -> None:
    given_record = record()

    async def use(store: Store) -> None:
        receipt = await store.append(given_record)
        kept = await store.get(given_record.result_id)
        assert kept is not None
        assert receipt == Receipt(seq=1, stored=True)
        assert kept.image == f"data/2026/11/21/NG/{given_record.result_id}.png"
        assert (tmp_path / kept.image).read_bytes() == given_record.image
        assert kept.heat_map is not None
        assert (tmp_path / kept.heat_map).read_bytes() == given_record.heat_map
        for name in ("part_id", "verdict", "score", "threshold", "regions", "microseconds", "time"):
            assert getattr(kept.record, name) == getattr(given_record, name), name

    with_store(tmp_path, use)


def test_no_partial_file_is_left_beside_the_pictures(tmp_path: Path) -> None:
    with_store(tmp_path, lambda store: store.append(record()))
    assert not [path for path in (tmp_path / "data").rglob("*") if ".partial-" in path.name]


def test_results_that_come_together_are_all_stored_with_rising_numbers(tmp_path: Path) -> None:
    async def use(store: Store) -> list[Receipt]:
        return list(await asyncio.gather(*(store.append(record(image=None)) for _ in range(50))))

    receipts = with_store(tmp_path, use)
    assert all(receipt.stored for receipt in receipts)
    assert [receipt.seq for receipt in receipts] == list(range(1, 51))


def test_numbers_go_on_without_a_gap_when_a_store_closed_in_peace(tmp_path: Path) -> None:
    first = with_store(tmp_path, lambda store: store.append(record()))
    second = with_store(tmp_path, lambda store: store.append(record()))
    assert second.seq == first.seq + 1


def test_numbers_rise_and_newest_comes_first_though_the_clock_was_set_back(tmp_path: Path) -> None:
    times = (NOON, NOON - 3_600_000, NOON - 86_400_000, NOON + 5)

    async def use(store: Store) -> list[int]:
        for time in times:
            await store.append(record(time=time))
        return [result.record.time for result in await store.find(Filter())]

    assert with_store(tmp_path, use) == list(reversed(times))


def test_numbers_never_repeat_after_unstored_results(tmp_path: Path) -> None:
    """A PLC saw these numbers, although no row has them."""

    async def crowd(store: Store) -> int:
        for _ in range(30):
            last = await store.append(record(image=None, heat_map=None))
        assert not last.stored
        return last.seq

    none_left = DiskSpace(total=10**12, free=10**6)
    last = with_store(tmp_path, crowd, measure=lambda _: none_left)
    assert with_store(tmp_path, lambda store: store.append(record())).seq > last


@given(st.lists(st.integers(0, 2**47), min_size=2, max_size=30))
@settings(max_examples=50, deadline=None)
def test_ulids_rise_whatever_the_clock_does(clock: list[int]) -> None:
    source = UlidSource()
    ids = [source.make(now) for now in clock]
    assert ids == sorted(set(ids))
    assert all(is_result_id(text) for text in ids)


def test_a_ulid_tells_its_time() -> None:
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    stamp = 0
    for letter in UlidSource().make(NOON)[:10]:
        stamp = stamp * 32 + alphabet.index(letter)
    assert stamp == NOON


@pytest.mark.parametrize(
    "text", ["", "../../etc/passwd", "a" * 26, "0" * 25, "0" * 27, "0" * 25 + "/"]
)
def test_what_is_no_ulid_never_becomes_a_path(text: str) -> None:
    with pytest.raises(UsageError):
        record(result_id=text)


@pytest.mark.parametrize(
    "part_id",
    [
        "../../x",
        "<script>alert(1)</script>",
        "a\x00b",
        "\ud800",
        "'; DROP TABLE results;--",
        "ü" * 300,
    ],
)
def test_hostile_part_ids_are_kept_as_text_and_touch_no_path(tmp_path: Path, part_id: str) -> None:
    given_record = record(part_id=part_id)

    async def use(store: Store) -> None:
        assert (await store.append(given_record)).stored
        kept = await store.get(given_record.result_id)
        assert kept is not None
        assert kept.record.part_id == part_id.encode("utf-8", "backslashreplace").decode()
        assert kept.image == f"data/2026/11/21/NG/{given_record.result_id}.png"

    with_store(tmp_path, use)


def test_a_full_disk_stops_storing_not_answering_and_heals_by_itself(tmp_path: Path) -> None:
    room = {"space": DiskSpace(total=100 * 10**9, free=4_900_000_000)}

    async def use(store: Store) -> None:
        receipt = await store.append(record())
        assert (receipt.seq, receipt.stored) == (1, False)
        assert "4.90 GB are free, below 5.00 GB" in (store.state().alarm or "")
        assert not store.state().stored
        room["space"] = ROOM
        await eventually(lambda: store.state().stored)
        assert (await store.append(record())).stored

    with_store(tmp_path, use, measure=lambda _: room["space"])


def test_a_line_that_must_trace_every_part_is_told_that_it_cannot(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        with pytest.raises(StorageStoppedError, match="nothing is stored"):
            await store.append(record())

    with_store(tmp_path, use, on_error="stop", measure=lambda _: DiskSpace(10**12, 0))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Has the store look all the time whether a fault has healed, and counts its looks."""
    seen: list[int] = []

    def counted(connection: sqlite3.Connection, given_settings: StorageSettings) -> bool:
        seen.append(1)
        return sweep_step(connection, given_settings)

    monkeypatch.setattr(writer, "_RETRY_S", 0.01)
    monkeypatch.setattr(writer, "_TICK_S", 0.01)
    monkeypatch.setattr(writer, "sweep_step", counted)
    return seen


def test_a_database_that_another_program_locks_is_an_alarm_until_it_lets_go(
    tmp_path: Path, looks: list[int]
) -> None:
    async def use(store: Store) -> None:
        assert (await store.append(record())).stored
        other = sqlite3.connect(tmp_path / "results.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        lost = record()
        assert not (await store.append(lost)).stored
        assert "locked" in (store.state().alarm or "")
        assert not list((tmp_path / "data").rglob(f"{lost.result_id}*"))
        assert len(await store.find(Filter())) == 1
        looks.clear()
        await eventually(lambda: len(looks) > 3)  # it can be read all the time
        assert "locked" in (store.state().alarm or "")
        other.execute("ROLLBACK")
        other.close()
        await eventually(lambda: store.state().stored)
        assert (await store.append(record())).stored

    with_store(tmp_path, use, busy_ms=20)


def test_a_folder_that_takes_no_pictures_is_an_alarm_until_it_does(
    tmp_path: Path, looks: list[int]
) -> None:
    async def use(store: Store) -> None:
        (tmp_path / "data").write_text("no folder")
        assert not (await store.append(record())).stored
        looks.clear()
        await eventually(lambda: len(looks) > 3)  # the database itself is well
        assert "results are not stored" in (store.state().alarm or "")
        (tmp_path / "data").unlink()
        await eventually(lambda: store.state().stored)
        assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
        assert (await store.append(record())).stored

    with_store(tmp_path, use)


@pytest.fixture
def plain_user_folder() -> Iterator[Path]:
    """A folder of a user for whom permissions count, also where the tests run as root."""
    with tempfile.TemporaryDirectory() as name:
        was_root = os.geteuid() == 0
        if was_root:
            os.chown(name, 65534, -1)
            os.seteuid(65534)
        try:
            yield Path(name) / "kept"
        finally:
            if was_root:
                os.seteuid(0)


def test_a_read_only_folder_is_an_alarm_and_heals(plain_user_folder: Path) -> None:
    with_store(plain_user_folder, lambda store: store.append(record()))
    folders = [path for path in plain_user_folder.rglob("*") if path.is_dir()]
    for folder in (*folders, plain_user_folder):
        folder.chmod(0o500)

    async def use(store: Store) -> None:
        assert not (await store.append(record())).stored
        assert "readonly" in (store.state().alarm or "")
        assert len(await store.find(Filter())) == 1
        for folder in (*folders, plain_user_folder):
            folder.chmod(0o700)
        await eventually(lambda: store.state().stored)
        assert (await store.append(record())).stored

    with_store(plain_user_folder, use)


def test_a_store_whose_place_is_a_file_goes_on_without_storing(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("not a folder")

    async def use(store: Store) -> Receipt:
        return await store.append(record())

    assert with_store(tmp_path / "taken", use) == Receipt(seq=1, stored=False)


def test_a_broken_database_is_an_alarm_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "results.sqlite").write_bytes(b"this is no database" * 100)

    async def use(store: Store) -> str | None:
        assert not (await store.append(record())).stored
        return store.state().alarm

    assert "not a database" in (with_store(tmp_path, use) or "")


def test_a_database_of_a_newer_vipx_is_refused_and_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "results.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ArtifactError, match="newer vipx"):
        with_store(tmp_path, lambda store: store.append(record()))


def test_two_servers_cannot_store_in_one_folder(tmp_path: Path) -> None:
    async def use(_: Store) -> None:
        with pytest.raises(UsageError, match="another vipx server"):
            async with opened(tmp_path):
                pass

    with_store(tmp_path, use)


def test_one_bad_record_does_not_cost_the_others_theirs(tmp_path: Path) -> None:
    twice = record()

    async def use(store: Store) -> None:
        answers = await asyncio.gather(
            *(store.append(each) for each in (record(), twice, twice, record())),
            return_exceptions=True,
        )
        assert isinstance(answers[2], UsageError)
        assert all(isinstance(each, Receipt) and each.stored for each in answers[:2] + answers[3:])
        kept = await store.get(twice.result_id)
        assert kept is not None
        assert (tmp_path / str(kept.image)).exists()

    with_store(tmp_path, use)


def test_a_caller_that_goes_away_does_not_take_its_result_along(tmp_path: Path) -> None:
    given_record = record()

    async def use(store: Store) -> None:
        task = asyncio.create_task(store.append(given_record))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    with_store(tmp_path, use)

    async def look(store: Store) -> object:
        return await store.get(given_record.result_id)

    assert with_store(tmp_path, look) is not None


def test_listeners_hear_every_result_stored_or_not(tmp_path: Path) -> None:
    heard: list[tuple[Record, Receipt]] = []
    space = {"now": ROOM}
    first, second = record(), record()

    async def use(store: Store) -> None:
        store.listen(lambda *each: heard.append(each))
        await store.append(first)
        space["now"] = DiskSpace(10**12, 0)
        await store.append(second)

    with_store(tmp_path, use, measure=lambda _: space["now"])
    assert heard == [(first, Receipt(1, True)), (second, Receipt(2, False))]


def test_pictures_of_good_parts_are_sampled_and_rows_are_not(tmp_path: Path) -> None:
    from vipx.runtime.server.storage.settings import Retention

    async def use(store: Store) -> list[bool]:
        for _ in range(10):
            await store.append(record(Verdict.OK))
        await store.append(record(Verdict.NG))
        return [result.image is not None for result in reversed(await store.find(Filter()))]

    kept = with_store(tmp_path, use, ok=Retention(sample=5))
    assert kept == [True, False, False, False, False, True, False, False, False, False, True]


def test_filters_find_what_they_say(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        good = record(Verdict.OK, part_id="A_1%", time=NOON - 1000, recipe="nut", image=None)
        bad = record(Verdict.NG, part_id="B-2", score=0.95)
        for each in (good, bad):
            await store.append(each)
        await store.set_review(bad.result_id, "true_ng", "ada")
        for wanted, expected in (
            (Filter(verdict=Verdict.OK), [good]),
            (Filter(recipe="bolt"), [bad]),
            (Filter(part_id="a_1"), [good]),
            (Filter(part_id="%"), [good]),
            (Filter(since=NOON), [bad]),
            (Filter(until=NOON), [good]),
            (Filter(least=0.9), [bad]),
            (Filter(most=0.9), [good]),
            (Filter(label="true_ng"), [bad]),
            (Filter(label="none"), [good]),
            (Filter(before=2), [good]),
            (Filter(calibration=True), []),
            (Filter(), [bad, good]),
        ):
            found = [result.record.result_id for result in await store.find(wanted)]
            assert found == [each.result_id for each in expected], wanted
            assert store.reader.count(wanted) == len(expected)

    with_store(tmp_path, use)


def test_what_people_say_and_pick_is_kept_with_their_names(tmp_path: Path) -> None:
    given_record = record()

    async def use(store: Store) -> None:
        await store.append(given_record)
        await store.set_review(given_record.result_id, "false_ng", "ada")
        await store.set_calibration(given_record.result_id, True, "grace")
        kept = await store.get(given_record.result_id)
        assert kept is not None
        assert (kept.label, kept.labelled_by, kept.calibration) == ("false_ng", "ada", True)
        entries = [(each.who, each.action, each.detail) for each in store.reader.audit()]
        assert entries == [("grace", "calibration", "picked"), ("ada", "label", "false_ng")]
        with pytest.raises(ResultNotFoundError):
            await store.set_review("0" * 26, "true_ng", "ada")

    with_store(tmp_path, use)


def change(base: int, threshold: float = 0.6, why: str = "fewer false alarms") -> ThresholdChange:
    return ThresholdChange("bolt", base, threshold, 0.4, "ada", why)


def test_thresholds_are_saved_in_versions_with_who_when_and_why(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        first = await store.save_thresholds(change(0))
        second = await store.save_thresholds(change(1, 0.7))
        assert (first.version, second.version, second.why) == (1, 2, "fewer false alarms")
        assert await store.thresholds_of("bolt") == second
        with pytest.raises(VersionConflictError, match="version 2"):
            await store.save_thresholds(change(1))
        await store.withdraw_thresholds(second, "the engine did not take it")
        assert await store.thresholds_of("bolt") == first
        assert (await store.save_thresholds(change(1, 0.65))).version == 3
        assert [each.action for each in store.reader.audit()].count("thresholds") == 3

    with_store(tmp_path, use)


@pytest.mark.parametrize(
    ("threshold", "review", "why"),
    [(0.0, None, "x"), (0.5, 0.6, "x"), (0.5, 0.4, " "), (2.0, None, "x")],
)
def test_thresholds_without_sense_or_reason_are_refused(
    threshold: float, review: float | None, why: str
) -> None:
    with pytest.raises(UsageError):
        ThresholdChange("bolt", 0, threshold, review, "ada", why)


def test_sinks_get_a_message_for_each_stored_result_in_order(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        first, second = record(), record()
        await store.append(first)
        await store.append(second)
        waiting = store.reader.messages("hook", 10)
        assert [each[1] for each in waiting] == [first.result_id, second.result_id]
        assert '"seq": 1' in waiting[0][2]
        await store.remove_messages([waiting[0][0]])
        assert store.reader.outbox() == {"hook": 1, "line": 2}

    with_store(tmp_path, use, sinks=("hook", "line"))


def test_pictures_that_no_row_names_are_removed_at_the_next_start(tmp_path: Path) -> None:
    kept = record()
    with_store(tmp_path, lambda store: store.append(kept))
    day = tmp_path / "data/2026/11/21/NG"
    (day / f"{record().result_id}.png").write_bytes(picture())
    (day / f".{kept.result_id}.png.partial-1-abcdef00").write_bytes(b"half")

    async def look(store: Store) -> list[str]:
        return sorted(path.name for path in day.iterdir())

    assert with_store(tmp_path, look) == [f"{kept.result_id}.map.png", f"{kept.result_id}.png"]
