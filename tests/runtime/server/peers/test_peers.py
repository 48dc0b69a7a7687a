"""Sources and sinks beside a whole server in this process, before an engine that is made up."""

import asyncio
import csv
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from tests.runtime.server.page.line import FakeLine, photo
from vipx.runtime.server.app.application import assemble
from vipx.runtime.server.app.inspect_routes import inspection_answer
from vipx.runtime.server.page.context import PeerState
from vipx.runtime.server.page.routes import page_routes
from vipx.runtime.server.peers.counting import peer_metrics
from vipx.runtime.server.peers.making import Connected, LinePeers
from vipx.runtime.server.peers.peers import Peers
from vipx.runtime.server.storage.reader import Filter
from vipx.runtime.server.work.faults import EngineDown, QueueFull
from vipx.runtime.sinks.csv_file import CsvFile
from vipx.runtime.sinks.sink import Message
from vipx.runtime.sources.camera import CameraSettings, CameraSource
from vipx.runtime.sources.folder import FolderSettings, FolderSource
from vipx.runtime.sources.source import Deliver, SourceState
from vipx.runtime.sources.trigger import trigger_routes
from vipx.verdict import Verdict

Use = Callable[[FakeLine, Peers, httpx2.AsyncClient], Awaitable[Any]]


class Camera:
    """Gives frames as fast as they are asked for, of one brightness."""

    def __init__(self, level: int) -> None:
        self.level = level

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, Any]:
        import time

        time.sleep(0.002)
        return True, np.full((30, 40, 3), self.level, np.uint8)

    def release(self) -> None:
        pass


class Broken:
    """A source or sink with a bug."""

    name, kind = "broken", "csv"
    state = SourceState("broken", "folder", None, 0, 0)

    async def run(self, deliver: Deliver) -> None:
        raise ZeroDivisionError("a bug of ours")

    def deliver(self, message: Message) -> None:
        raise ZeroDivisionError("a bug of ours")

    def close(self) -> None:
        pass


def folder_of(tmp_path: Path, recipe: str = "bolt") -> Connected:
    (tmp_path / "in").mkdir()
    settings = FolderSettings(tmp_path / "in", "in", tmp_path / "done", interval_s=0.01)
    return Connected(FolderSource(settings), recipe, "line", 5.0)


def camera_of(level: int, interval_s: float | None = None) -> Connected:
    settings = CameraSettings(0, "top", interval_s, frame_s=10.0)
    return Connected(CameraSource(settings, lambda _: Camera(level)), "bolt", "line", 5.0)


def run(tmp_path: Path, peers: LinePeers, use: Use) -> Any:
    """Start everything in the server's order, use it, and end it."""
    line = FakeLine(tmp_path / "data", sinks=tuple(sink.name for sink in peers.sinks))

    async def whole() -> Any:
        await line.store.start()
        await line.desk.start(list(line.pool.held))
        all_ = Peers(peers, line.inspecting, line.store)
        line.told.extend([all_.states])

        async def triggered(picture: Any) -> Any:
            return inspection_answer(await all_.inspect(picture))

        app = assemble(
            line.settings,
            line.inspecting,
            line.bodies,
            [*trigger_routes(all_.cameras, triggered), *page_routes(line.context)],
            lambda: peer_metrics(all_.states, line.store),
        )
        all_.start_sinks()
        all_.start_sources()
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        base = "http://127.0.0.1:8000"
        try:
            async with httpx2.AsyncClient(transport=transport, base_url=base) as client:
                return await use(line, all_, client)
        finally:
            await all_.stop_sources()
            await all_.stop_sinks()
            await line.store.close()

    return asyncio.run(asyncio.wait_for(whole(), 60))


def state_of(peers: Peers, name: str) -> PeerState:
    return next(one for one in peers.states() if one.name == name)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_a_folders_picture_is_inspected_stored_shown_and_told(tmp_path: Path) -> None:
    peers = LinePeers((folder_of(tmp_path),), (CsvFile(tmp_path / "tables", "shift"),))

    async def use(line: FakeLine, all_: Peers, client: httpx2.AsyncClient) -> None:
        (tmp_path / "in" / "P-77.png").write_bytes(photo(200))
        await until(lambda: state_of(all_, "shift").done == 1)
        (result,) = await line.store.find(Filter())
        assert (result.record.part_id, result.record.source) == ("P-77", "folder:in")
        assert result.record.verdict is Verdict.NG
        assert result.image is not None
        assert line.board.newest is not None
        assert line.board.newest.record.part_id == "P-77"
        text = (await client.get("/metrics")).text.splitlines()
        assert 'vipx_source_pictures_total{source="in",kind="folder"} 1' in text
        assert 'vipx_sink_deliveries_total{sink="shift",kind="csv"} 1' in text
        assert 'vipx_peer_alarm{sink="shift",kind="csv"} 0' in text
        page = (await client.get("/system")).text
        assert "1 pictures for bolt" in page
        assert "1 delivered" in page

    run(tmp_path, peers, use)
    assert (tmp_path / "done/ok/P-77.png").exists()
    (table,) = (tmp_path / "tables").iterdir()
    (row,) = csv.DictReader(table.read_text().splitlines())
    assert (row["part_id"], row["verdict"]) == ("P-77", "NG")


def test_a_trigger_answers_as_an_inspection_and_its_frame_is_kept_whole(tmp_path: Path) -> None:
    async def use(line: FakeLine, all_: Peers, client: httpx2.AsyncClient) -> None:
        answer = await client.post("/v1/trigger/top", params={"part_id": "P-1"})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert (body["verdict"], body["part_id"], body["stored"]) == ("NG", "P-1", True)
        assert len(answer.content) < 2048
        assert (await client.get(f"/live.jpg?seq={body['seq']}")).content.startswith(b"\x89PNG")
        small = await client.get(f"/results/{body['result_id']}/thumbnail")
        assert small.headers["content-type"] == "image/jpeg"
        assert (await client.post("/v1/trigger/other")).status_code == 404
        site = {"Sec-Fetch-Site": "cross-site"}
        assert (await client.post("/v1/trigger/top", headers=site)).status_code == 403

    run(tmp_path, LinePeers((camera_of(200),)), use)


def test_a_trigger_on_which_the_engine_fails_is_503_with_error(tmp_path: Path) -> None:
    async def use(line: FakeLine, all_: Peers, client: httpx2.AsyncClient) -> None:
        line.pool.fail = True
        answer = await client.post("/v1/trigger/top")
        assert (answer.status_code, answer.json()["verdict"]) == (503, "ERROR")
        assert answer.headers["retry-after"] == "1"
        line.pool.refuse_with = QueueFull(2.0)
        answer = await client.post("/v1/trigger/top")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")

    run(tmp_path, LinePeers((camera_of(200),)), use)


def test_a_folders_picture_waits_while_the_engine_is_away(tmp_path: Path) -> None:
    async def use(line: FakeLine, all_: Peers, client: httpx2.AsyncClient) -> None:
        line.pool.refuse_with = EngineDown("the engine is being restarted", 1.0)
        (tmp_path / "in" / "a.png").write_bytes(photo(20))
        await until(lambda: "being restarted" in (state_of(all_, "in").alarm or ""))
        assert (tmp_path / "in" / "a.png").exists()
        assert "Source in: a.png waits" in (await client.get("/history")).text
        assert any("Source in" in text for text in line.context.alarms())
        line.pool.refuse_with = None
        await until(lambda: (tmp_path / "done/ok/a.png").exists())
        assert state_of(all_, "in").alarm is None

    run(tmp_path, LinePeers((folder_of(tmp_path),)), use)


def test_a_picture_on_which_the_engine_fails_is_recorded_and_not_tried_again(
    tmp_path: Path,
) -> None:
    async def use(line: FakeLine, all_: Peers, client: httpx2.AsyncClient) -> None:
        line.pool.fail = True
        (tmp_path / "in" / "a.png").write_bytes(photo(20))
        await until(lambda: (tmp_path / "done/failed/a.png").exists())
        line.pool.fail = False
        await asyncio.sleep(0.1)
        (result,) = await line.store.find(Filter())
        assert result.record.verdict is Verdict.ERROR
        assert state_of(all_, "in").failed == 1

    run(tmp_path, LinePeers((folder_of(tmp_path),)), use)


@pytest.mark.filterwarnings("ignore")
def test_a_source_and_a_sink_with_bugs_are_told_and_take_nobody_down(tmp_path: Path) -> None:
    peers = LinePeers(
        (Connected(Broken(), "bolt", "line", 5.0), folder_of(tmp_path)),
        (Broken2(), CsvFile(tmp_path / "tables", "shift")),
    )

    async def use(line: FakeLine, all_: Peers, client: httpx2.AsyncClient) -> None:
        (tmp_path / "in" / "a.png").write_bytes(photo(20))
        await until(lambda: state_of(all_, "shift").done == 1)
        await until(lambda: state_of(all_, "broken-sink").alarm is not None)
        for name in ("broken", "broken-sink"):
            state = state_of(all_, name)
            assert "ZeroDivisionError: a bug of ours" in (state.alarm or "")
            assert state.restarts >= 1
        text = (await client.get("/metrics")).text.splitlines()
        assert 'vipx_peer_alarm{source="broken",kind="folder"} 1' in text
        assert 'vipx_sink_waiting{sink="broken-sink",kind="csv"} 1' in text
        assert (await client.get("/system")).text.count("a bug of ours") >= 2
        assert (await client.post("/v1/inspect?recipe=bolt", content=photo(20))).status_code == 200

    run(tmp_path, peers, use)


class Broken2(Broken):
    name = "broken-sink"


def test_what_no_sink_took_waits_for_the_next_start(tmp_path: Path) -> None:
    class Away(CsvFile):
        def deliver(self, message: Message) -> None:
            from vipx.runtime.sinks.sink import DeliveryError

            raise DeliveryError("away")

    async def first(line: FakeLine, all_: Peers, client: httpx2.AsyncClient) -> str:
        answer = await client.post("/v1/inspect?recipe=bolt", content=photo(20))
        return str(json.loads(answer.content)["result_id"])

    async def second(line: FakeLine, all_: Peers, client: httpx2.AsyncClient) -> None:
        await until(lambda: state_of(all_, "shift").done == 1)

    async def between(line: FakeLine, all_: Peers, client: httpx2.AsyncClient) -> None:
        assert "no sink has this name any more" in (await client.get("/system")).text

    told = run(tmp_path, LinePeers((), (Away(tmp_path / "t", "shift"),)), first)
    run(tmp_path, LinePeers(), between)
    run(tmp_path, LinePeers((), (CsvFile(tmp_path / "t", "shift"),)), second)
    (table,) = (tmp_path / "t").iterdir()
    assert told in table.read_text()
