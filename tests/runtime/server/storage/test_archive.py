import asyncio
import csv
import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.server.storage.records import record, with_store
from vipx.runtime.server.storage.archive import csv_line
from vipx.runtime.server.storage.reader import Filter
from vipx.runtime.server.storage.store import Store
from vipx.verdict import Verdict


def rows_of(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_csv_holds_every_result_and_its_texts_come_back(tmp_path: Path) -> None:
    part = 'comma, "quote"\nand line'

    async def use(store: Store) -> bytes:
        await store.append(record(part_id=part))
        await store.append(record(Verdict.OK, part_id="B"))
        return b"".join(store.export_csv(Filter()))

    rows = rows_of(with_store(tmp_path, use))
    assert [row["part_id"] for row in rows] == ["B", part]
    assert rows[1]["time"] == "2026-11-21T12:00:00.000Z"
    assert float(rows[1]["score"]) == 0.8


@given(st.sampled_from("=+-@\t\r"), st.text(max_size=20))
def test_no_text_of_a_caller_is_a_formula_in_a_spreadsheet(start: str, rest: str) -> None:
    cell = next(csv.reader(io.StringIO(csv_line([start + rest]), newline="")))[0]
    assert cell == f"'{start}{rest}".replace("\0", "\u2400")


def test_numbers_stay_numbers_in_csv() -> None:
    assert csv_line([-0.5, 3, None]) == "-0.5,3,\r\n"


def test_zip_holds_pictures_by_verdict_and_the_table(tmp_path: Path) -> None:
    good, bad = record(Verdict.OK, heat_map=None), record(part_id="../../evil")

    async def use(store: Store) -> bytes:
        await store.append(good)
        await store.append(bad)
        return b"".join(store.export_zip(Filter()))

    with zipfile.ZipFile(io.BytesIO(with_store(tmp_path, use))) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == sorted(
            [
                f"NG/{bad.result_id}.map.png",
                f"NG/{bad.result_id}.png",
                f"OK/{good.result_id}.png",
                "results.csv",
            ]
        )
        assert archive.read(f"OK/{good.result_id}.png") == good.image
        assert len(rows_of(archive.read("results.csv"))) == 2


def test_a_picture_that_vanished_is_left_out_and_its_row_stays(tmp_path: Path) -> None:
    async def use(store: Store) -> bytes:
        await store.append(record(heat_map=None))
        next((tmp_path / "data").rglob("*.png")).unlink()
        return b"".join(store.export_zip(Filter()))

    with zipfile.ZipFile(io.BytesIO(with_store(tmp_path, use))) as archive:
        assert archive.namelist() == ["results.csv"]
        assert len(rows_of(archive.read("results.csv"))) == 1


@pytest.mark.parametrize("count", [0, 501])
def test_an_export_of_any_length_is_whole(tmp_path: Path, count: int) -> None:
    async def use(store: Store) -> bytes:
        plain = [record(image=None, heat_map=None, regions=()) for _ in range(count)]
        for start in range(0, count, 501):
            await asyncio.gather(*(store.append(each) for each in plain[start : start + 501]))
        return b"".join(store.export_csv(Filter()))

    rows = rows_of(with_store(tmp_path, use))
    assert len({row["result_id"] for row in rows}) == count
