import sqlite3
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.server.storage.records import picture, record, with_store
from vipx.errors import UsageError
from vipx.runtime.server.storage.database import NAME, connect
from vipx.runtime.server.storage.rows import INSERT, row_of
from vipx.runtime.server.storage.settings import Retention, StorageSettings
from vipx.runtime.server.storage.store import Store
from vipx.runtime.server.storage.writing.retention import sweep_step
from vipx.verdict import Verdict

DAY = 86_400_000
NOW = time.time_ns() // 1_000_000


class Shelf:
    """A database with pictures, filled and swept without threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.connection = connect(folder / NAME, busy_ms=100)
        self.connection.execute("PRAGMA synchronous = OFF")
        self.seq = 0

    def add(self, verdict: Verdict, days: float = 0.0, size: int = 100) -> None:
        self.seq += 1
        kept = record(verdict, time=int(NOW - days * DAY), image=b"\xff\xd8\xff" + bytes(size - 3))
        row = row_of(kept, self.seq)
        for name, data in ((row["image"], kept.image), (row["heat_map"], kept.heat_map)):
            assert data is not None
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(data)
        self.connection.execute(INSERT, row)

    def sweep(self, **rules: Retention) -> int:
        everything = {"ok": Retention(), "ng": Retention()} | rules
        rule_book = StorageSettings(self.folder, **everything)  # type: ignore[arg-type]
        steps = 0
        while sweep_step(self.connection, rule_book):
            steps += 1
        return steps

    @property
    def left(self) -> list[int]:
        return [row[0] for row in self.connection.execute("SELECT seq FROM results ORDER BY seq")]

    @property
    def files(self) -> int:
        return sum(path.is_file() for path in self.folder.rglob("data/**/*"))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_age_counts_for_each_kind_by_itself(shelf: Shelf) -> None:
    for verdict in (Verdict.OK, Verdict.NG, Verdict.REVIEW, Verdict.ERROR):
        for days in (100, 40, 1):
            shelf.add(verdict, days)
    shelf.sweep(ok=Retention(days=30.0), ng=Retention(days=90.0))
    assert shelf.left == [3, 5, 6, 8, 9, 11, 12]
    assert shelf.files == 14
    assert shelf.sweep(ok=Retention(days=30.0), ng=Retention(days=90.0)) == 0


def test_count_keeps_the_newest(shelf: Shelf) -> None:
    for verdict in (Verdict.OK, Verdict.NG):
        for _ in range(150):
            shelf.add(verdict)
    shelf.sweep(ok=Retention(count=3), ng=Retention(count=140))
    assert shelf.left == [148, 149, 150, *range(161, 301)]


def test_size_removes_no_more_than_it_must(shelf: Shelf) -> None:
    for _ in range(5):
        shelf.add(Verdict.OK, size=1000)
    held = shelf.connection.execute("SELECT bytes FROM totals WHERE kind = 'ok'").fetchone()[0]
    shelf.sweep(ok=Retention(gigabytes=(held - 1) / 10**9))
    assert shelf.left == [2, 3, 4, 5]


def test_empty_day_folders_go_and_the_others_stay(shelf: Shelf) -> None:
    shelf.add(Verdict.NG, 100)
    shelf.add(Verdict.NG, 0)
    shelf.sweep(ng=Retention(days=50.0))
    days = [path for path in shelf.folder.glob("data/*/*/*") if path.is_dir()]
    assert len(days) == 1
    assert shelf.files == 2


def test_a_step_is_small_so_that_no_verdict_waits_long(shelf: Shelf) -> None:
    for _ in range(150):
        shelf.add(Verdict.NG, 100)
    assert shelf.sweep(ng=Retention(days=1.0)) == 2


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(Verdict)), st.integers(0, 3)), max_size=40))
def test_totals_are_what_is_there(steps: list[tuple[Verdict, int]]) -> None:
    connection = connect(Path(":memory:"), busy_ms=10)
    for seq, (verdict, action) in enumerate(steps):
        connection.execute(INSERT, row_of(record(verdict), seq))
        if action == 0:
            connection.execute("DELETE FROM results WHERE seq = ?", (seq - 1,))
    counted = "SELECT kind, COUNT(*), SUM(bytes) FROM results GROUP BY kind ORDER BY kind"
    kept = "SELECT kind, results, bytes FROM totals WHERE results > 0 ORDER BY kind"
    assert connection.execute(counted).fetchall() == connection.execute(kept).fetchall()
    connection.close()


def test_a_crowded_outbox_drops_the_oldest_and_says_how_many(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        for _ in range(5):
            await store.append(record(image=None, heat_map=None))

    with_store(tmp_path, use, sinks=("hook",))
    connection = connect(tmp_path / NAME, busy_ms=100)
    sweep_step(connection, StorageSettings(tmp_path, outbox=3))
    assert connection.execute("SELECT COUNT(*), MIN(id) FROM outbox").fetchone() == (3, 3)
    connection.close()

    async def look(store: Store) -> dict[str, int]:
        return store.reader.outbox()

    assert with_store(tmp_path, look) == {"hook": 3, "dropped:hook": 2}


def test_the_writer_sweeps_by_itself(tmp_path: Path) -> None:
    async def use(store: Store) -> None:
        await store.append(record(time=NOW - 100 * DAY))

    with_store(tmp_path, use)
    with_store(tmp_path, lambda store: store.audit("test", "wait for the writer", ""))
    assert not list(tmp_path.rglob("data/**/*.png"))


@pytest.mark.parametrize("rule", [{"days": 0.0}, {"gigabytes": -1.0}, {"count": 0}, {"sample": 0}])
def test_rules_without_sense_are_refused(rule: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Retention(**rule)  # type: ignore[arg-type]


def test_an_older_database_is_brought_up_to_date_and_a_half_done_one_is_redone(
    tmp_path: Path,
) -> None:
    path = tmp_path / NAME
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 0")
    connection.close()
    again = connect(path, busy_ms=100)
    assert again.execute("PRAGMA user_version").fetchone()[0] == 1
    again.close()
    twice = connect(path, busy_ms=100)
    assert twice.execute("SELECT COUNT(*) FROM results").fetchone()[0] == 0
    assert twice.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    twice.close()


def test_pictures_are_told_by_their_first_bytes_and_all_can_be_shown() -> None:
    from vipx.runtime.server.storage.pictures import for_browser, media_type, thumbnail

    for kind, expected in (
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("BMP", "image/png"),
        ("TIFF", "image/png"),
    ):
        data = picture(kind=kind)
        shown = for_browser(data)
        assert shown is not None
        assert shown[1] == expected
        assert media_type(thumbnail(data)) == "image/jpeg"
    assert for_browser(b"<svg onload=alert(1)>") is None
