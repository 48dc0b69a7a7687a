import asyncio
import os
from pathlib import Path

import pytest

from vipx.errors import EngineError, ImageError, UsageError
from vipx.runtime.sources.folder import FolderSettings, FolderSource
from vipx.runtime.sources.source import Picture


class Inspector:
    """Takes pictures; `fault` is raised for each, if there is one."""

    def __init__(self) -> None:
        self.taken: list[Picture] = []
        self.fault: Exception | None = None

    async def deliver(self, picture: Picture) -> None:
        if self.fault is not None:
            raise self.fault
        self.taken.append(picture)

    @property
    def parts(self) -> list[str]:
        return [picture.part_id for picture in self.taken]


def looks(source: FolderSource, inspector: Inspector, times: int = 2) -> None:
    async def run() -> None:
        for _ in range(times):
            await source.look(inspector.deliver)

    asyncio.run(run())


def write(path: Path, data: bytes = b"picture", at: int = 0) -> Path:
    path.write_bytes(data)
    os.utime(path, ns=(1_000_000_000 + at, 1_000_000_000 + at))
    return path


def test_pictures_come_once_the_oldest_first(tmp_path: Path) -> None:
    inspector, source = Inspector(), FolderSource(FolderSettings(tmp_path, "in"))
    write(tmp_path / "b.png", at=1)
    write(tmp_path / "a.png", at=2)
    looks(source, inspector, 5)
    assert inspector.parts == ["b", "a"]
    assert inspector.taken[0].source == "folder:in"
    assert source.state.delivered == 2


def test_a_half_written_picture_waits_until_it_stands_still(tmp_path: Path) -> None:
    inspector, source = Inspector(), FolderSource(FolderSettings(tmp_path))
    for size in range(1, 40):
        write(tmp_path / "slow.png", bytes(size), at=size)
        looks(source, inspector, 1)
    assert inspector.taken == []
    looks(source, inspector, 2)
    assert [len(bytes(picture.image)) for picture in inspector.taken] == [39]


def test_an_empty_file_is_no_picture_yet(tmp_path: Path) -> None:
    inspector, source = Inspector(), FolderSource(FolderSettings(tmp_path))
    write(tmp_path / "empty.png", b"")
    looks(source, inspector, 3)
    assert inspector.taken == []


def test_a_picture_that_is_written_anew_is_inspected_again(tmp_path: Path) -> None:
    inspector, source = Inspector(), FolderSource(FolderSettings(tmp_path))
    for at in (1, 2):
        write(tmp_path / "same.png", at=at)
        looks(source, inspector)
    assert inspector.parts == ["same", "same"]


def test_inspected_pictures_are_moved_and_never_over_others(tmp_path: Path) -> None:
    inspector = Inspector()
    source = FolderSource(FolderSettings(tmp_path / "in", done=tmp_path / "done"))
    (tmp_path / "in").mkdir()
    for number in range(3):
        write(tmp_path / "in" / "part.png", bytes([number + 1]))
        looks(source, inspector)
    assert sorted(path.name for path in (tmp_path / "done/ok").iterdir()) == [
        "part-1.png",
        "part-2.png",
        "part.png",
    ]
    assert list((tmp_path / "in").iterdir()) == []


def test_a_picture_that_cannot_be_read_is_set_aside_and_told(tmp_path: Path) -> None:
    inspector = Inspector()
    inspector.fault = ImageError("not a whole picture")
    settings = FolderSettings(tmp_path / "in", done=tmp_path / "done", unreadable_s=0.0)
    source = FolderSource(settings)
    (tmp_path / "in").mkdir()
    write(tmp_path / "in/bad.png")
    looks(source, inspector)
    assert (tmp_path / "done/failed/bad.png").exists()
    assert (source.state.failed, source.state.delivered) == (1, 0)


def test_a_picture_waits_while_no_engine_answers(tmp_path: Path) -> None:
    inspector, source = Inspector(), FolderSource(FolderSettings(tmp_path))
    inspector.fault = EngineError("restarting")
    write(tmp_path / "a.png")
    looks(source, inspector, 3)
    assert "restarting" in (source.state.alarm or "")
    inspector.fault = None
    looks(source, inspector, 1)
    assert inspector.parts == ["a"]
    assert source.state.alarm is None or "restarting" not in source.state.alarm


def test_while_no_engine_answers_one_picture_is_tried_and_not_all(tmp_path: Path) -> None:
    inspector, source = Inspector(), FolderSource(FolderSettings(tmp_path))
    tried: list[str] = []

    async def deliver(picture: Picture) -> None:
        tried.append(picture.part_id)
        raise EngineError("restarting")

    inspector.deliver = deliver  # type: ignore[method-assign]
    for number in range(5):
        write(tmp_path / f"{number}.png", at=number)
    looks(source, inspector, 3)
    assert tried == ["0", "0"]


def test_a_picture_that_is_inspected_when_the_server_ends_is_also_set_aside(tmp_path: Path) -> None:
    source = FolderSource(FolderSettings(tmp_path / "in", done=tmp_path / "done", interval_s=0.001))
    (tmp_path / "in").mkdir()
    write(tmp_path / "in/a.png")

    async def run() -> None:
        begun, going_on = asyncio.Event(), asyncio.Event()

        async def deliver(picture: Picture) -> None:
            begun.set()
            await going_on.wait()

        task = asyncio.create_task(source.run(deliver))
        await begun.wait()
        task.cancel()
        await asyncio.sleep(0.01)
        assert not task.done()
        going_on.set()
        await asyncio.wait({task})
        assert task.cancelled()

    asyncio.run(run())
    assert (tmp_path / "done/ok/a.png").exists()


def test_a_picture_whose_writer_paused_is_not_given_up(tmp_path: Path) -> None:
    inspector, source = Inspector(), FolderSource(FolderSettings(tmp_path, unreadable_s=60.0))
    inspector.fault = ImageError("not a whole picture")
    write(tmp_path / "slow.png", b"half", at=1)
    looks(source, inspector, 5)
    assert (source.state.failed, source.state.alarm) == (0, None)
    inspector.fault = None
    write(tmp_path / "slow.png", b"half and half", at=2)
    looks(source, inspector, 2)
    assert inspector.parts == ["slow"]


def test_a_picture_that_stays_unreadable_is_tried_once_more_and_set_aside(tmp_path: Path) -> None:
    settings = FolderSettings(tmp_path / "in", done=tmp_path / "done", unreadable_s=0.05)
    source = FolderSource(settings)
    (tmp_path / "in").mkdir()
    write(tmp_path / "in/bad.png")
    tried: list[str] = []

    async def run() -> None:
        async def deliver(picture: Picture) -> None:
            tried.append(picture.part_id)
            raise ImageError("not a whole picture")

        while source.state.failed == 0:
            await source.look(deliver)
            await asyncio.sleep(0.005)

    asyncio.run(run())
    assert tried == ["bad", "bad"]
    assert (tmp_path / "done/failed/bad.png").exists()


def test_a_trouble_stays_told_until_a_picture_is_inspected(tmp_path: Path) -> None:
    inspector, source = Inspector(), FolderSource(FolderSettings(tmp_path, unreadable_s=0.0))
    inspector.fault = ImageError("not a whole picture")
    write(tmp_path / "bad.png")
    looks(source, inspector, 5)
    assert "not a whole picture" in (source.state.alarm or "")
    inspector.fault = None
    write(tmp_path / "good.png", at=1)
    looks(source, inspector)
    assert source.state.alarm is None


def test_links_pipes_folders_and_hidden_files_are_no_pictures(tmp_path: Path) -> None:
    inspector, source = Inspector(), FolderSource(FolderSettings(tmp_path / "in"))
    (tmp_path / "in").mkdir()
    secret = write(tmp_path / "secret.png")
    (tmp_path / "in/link.png").symlink_to(secret)
    (tmp_path / "in/folder.png").mkdir()
    os.mkfifo(tmp_path / "in/pipe.png")
    write(tmp_path / "in/.hidden.png")
    write(tmp_path / "in/text.txt")
    looks(source, inspector, 3)
    assert inspector.taken == []


def test_a_file_that_becomes_a_link_between_look_and_reading_is_not_followed(
    tmp_path: Path,
) -> None:
    inspector, source = Inspector(), FolderSource(FolderSettings(tmp_path / "in"))
    (tmp_path / "in").mkdir()
    secret = write(tmp_path / "secret.png")
    found = write(tmp_path / "in/a.png")
    looks(source, inspector, 1)
    reading = source._read

    def swap(path: Path, look: object) -> bytes | None:
        found.unlink()
        found.symlink_to(secret)
        return reading(path, look)  # type: ignore[arg-type]

    source._read = swap  # type: ignore[method-assign]
    looks(source, inspector, 1)
    assert inspector.taken == []
    assert source.state.failed == 1


@pytest.mark.parametrize("name", ["a\nb.png", "<script>.png", "\u202egnp.png", "x" * 200 + ".png"])
def test_hostile_file_names_become_part_ids_that_can_be_shown(tmp_path: Path, name: str) -> None:
    inspector, source = Inspector(), FolderSource(FolderSettings(tmp_path))
    write(tmp_path / name)
    looks(source, inspector)
    assert len(inspector.parts) == 1
    assert inspector.parts[0].isprintable()
    assert len(inspector.parts[0]) <= 128


def test_too_large_a_file_is_not_read(tmp_path: Path) -> None:
    inspector, source = Inspector(), FolderSource(FolderSettings(tmp_path, most_bytes=3))
    write(tmp_path / "large.png", b"1234")
    looks(source, inspector, 4)
    assert inspector.taken == []
    assert source.state.failed == 1


def test_a_folder_that_is_away_is_an_alarm_and_heals(tmp_path: Path) -> None:
    inspector, source = Inspector(), FolderSource(FolderSettings(tmp_path / "usb"))
    looks(source, inspector, 1)
    assert "cannot be listed" in (source.state.alarm or "")
    (tmp_path / "usb").mkdir()
    write(tmp_path / "usb/a.png")
    looks(source, inspector, 2)
    assert inspector.parts == ["a"]
    assert source.state.alarm is None


def test_settings_without_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        FolderSettings(tmp_path, interval_s=0.0)
    with pytest.raises(UsageError):
        FolderSettings(tmp_path, done=tmp_path)
