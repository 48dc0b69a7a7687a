import asyncio
import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from markupsafe import escape

from tests.runtime.server.page.line import PASSWORD, FakeLine, photo
from tests.runtime.server.storage.records import record
from vipx.errors import UsageError
from vipx.runtime.server.page.board import Board
from vipx.runtime.server.storage.record import Receipt
from vipx.verdict import Verdict

SCREENS = ("/", "/try", "/history", "/threshold", "/system", "/login")
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}}",
    "javascript:alert(1)",
)


async def inspect(client: httpx2.AsyncClient, level: int = 60, part: str = "P-1") -> dict[str, Any]:
    answer = await client.post(
        "/try", params={"recipe": "bolt", "part_id": part}, content=photo(level)
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def log_in(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/session", json={"secret": PASSWORD})).status_code == 204


def test_every_screen_answers_with_a_strict_policy_and_no_inline_code(tmp_path: Path) -> None:
    async def use(_: FakeLine, client: httpx2.AsyncClient) -> None:
        await inspect(client)
        for path in SCREENS:
            answer = await client.get(path)
            assert answer.status_code == 200, (path, answer.text)
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'self'; object-src 'none'")
            assert "unsafe" not in policy
            text = answer.text
            assert "style=" not in text
            assert "onclick" not in text
            assert text.count("<script") == text.count('<script type="module" src="/static/')
            assert "http://" not in text
            assert "https://" not in text

    FakeLine(tmp_path).run(use)


def test_static_files_are_served_and_nothing_beside_them(tmp_path: Path) -> None:
    async def use(_: FakeLine, client: httpx2.AsyncClient) -> None:
        for name in ("style.css", "live.js", "try.js", "threshold.js", "heat.js", "icon.svg"):
            assert (await client.get(f"/static/{name}")).status_code == 200
        for path in (
            "../routes.py",
            "%2e%2e/routes.py",
            "..%2froutes.py",
            "/etc/passwd",
            "none.js",
        ):
            assert (await client.get(f"/static/{path}")).status_code in (400, 404)

    FakeLine(tmp_path).run(use)


def test_no_file_of_the_page_names_another_server() -> None:
    from vipx.runtime.server.page.rendering import FOLDER

    for path in (*FOLDER.glob("static/*"), *FOLDER.glob("templates/*")):
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in text.replace("// ", "") or "http" not in text, path
        assert "eval(" not in text
        assert "innerHTML" not in text


def test_a_tried_picture_is_inspected_recorded_and_its_map_can_be_fetched(tmp_path: Path) -> None:
    async def use(line: FakeLine, client: httpx2.AsyncClient) -> None:
        answer = await inspect(client, 200)
        assert answer["verdict"] == "NG"
        assert answer["stored"]
        assert answer["has_map"]
        heat = await client.get(f"/results/{answer['result_id']}/map")
        assert heat.headers["content-type"] == "image/png"
        kept = await line.store.get(answer["result_id"])
        assert kept is not None
        assert (kept.record.source, kept.record.part_id) == ("page", "P-1")
        for path in ("picture", "thumbnail"):
            assert (await client.get(f"/results/{answer['result_id']}/{path}")).status_code == 200
        assert "P-1" in (await client.get(f"/results/{answer['result_id']}")).text

    FakeLine(tmp_path).run(use)


def test_the_map_of_a_good_part_can_be_looked_at_though_it_is_not_kept(tmp_path: Path) -> None:
    from vipx.runtime.server.settings import ServerSettings

    async def use(_: FakeLine, client: httpx2.AsyncClient) -> None:
        answer = await inspect(client, 20)
        assert answer["verdict"] == "OK"
        assert (await client.get(f"/results/{answer['result_id']}/map")).status_code == 200

    FakeLine(tmp_path, settings=ServerSettings(keep_maps="not-ok")).run(use)


@pytest.mark.parametrize(
    ("params", "content", "status"),
    [
        ({"recipe": "none"}, photo(), 404),
        ({}, photo(), 404),
        ({"recipe": "bolt"}, b"no picture", 400),
        ({"recipe": "bolt", "part_id": "x" * 129}, photo(), 400),
        ({"recipe": "bolt", "part_id": "a\x00b"}, photo(), 400),
    ],
)
def test_what_cannot_be_tried_is_answered_with_one_line(
    tmp_path: Path, params: dict[str, str], content: bytes, status: int
) -> None:
    async def use(_: FakeLine, client: httpx2.AsyncClient) -> None:
        answer = await client.post("/try", params=params, content=content)
        assert answer.status_code == status
        assert answer.json()["error"]

    FakeLine(tmp_path).run(use)


@pytest.mark.parametrize("part", HOSTILE)
def test_hostile_part_ids_are_shown_as_text(tmp_path: Path, part: str) -> None:
    async def use(_: FakeLine, client: httpx2.AsyncClient) -> None:
        answer = await inspect(client, part=part)
        for path in ("/history", f"/results/{answer['result_id']}", f"/history?part_id={part}"):
            text = (await client.get(path)).text
            assert "<script>alert" not in text
            assert "<img src=x" not in text
            assert escape(part) in text

    FakeLine(tmp_path).run(use)


def test_the_history_filters_and_exports_what_it_shows(tmp_path: Path) -> None:
    async def use(_: FakeLine, client: httpx2.AsyncClient) -> None:
        good, bad = await inspect(client, 20, "A"), await inspect(client, 200, "B")
        text = (await client.get("/history?verdict=NG")).text
        assert bad["result_id"] in text
        assert good["result_id"] not in text
        table = await client.get("/history/export.csv?verdict=OK")
        assert table.headers["content-disposition"] == 'attachment; filename="vipx-results.csv"'
        assert good["result_id"] in table.text
        assert bad["result_id"] not in table.text
        archive = await client.get("/history/export.zip?part_id=B")
        with zipfile.ZipFile(BytesIO(archive.content)) as held:
            assert f"NG/{bad['result_id']}.png" in held.namelist()
            assert len(held.namelist()) == 3

    FakeLine(tmp_path).run(use)


@pytest.mark.parametrize(
    "query", ["verdict=BAD", "least=x", "since=yesterday", "before=x", "until=999999999999999"]
)
def test_a_filter_without_sense_is_the_clients_fault(tmp_path: Path, query: str) -> None:
    async def use(_: FakeLine, client: httpx2.AsyncClient) -> None:
        assert (await client.get(f"/history?{query}")).status_code == 400

    FakeLine(tmp_path).run(use)


@pytest.mark.parametrize("name", ["../../etc/passwd", "%2e%2e%2f", "0" * 26, "x" * 26, "0" * 27])
def test_ids_that_are_none_are_not_found(tmp_path: Path, name: str) -> None:
    async def use(_: FakeLine, client: httpx2.AsyncClient) -> None:
        for path in ("", "/picture", "/map", "/thumbnail"):
            assert (await client.get(f"/results/{name}{path}")).status_code == 404

    FakeLine(tmp_path).run(use)


def test_people_label_results_and_pick_them_for_calibration(tmp_path: Path) -> None:
    async def use(line: FakeLine, client: httpx2.AsyncClient) -> None:
        good, bad = await inspect(client, 20), await inspect(client, 200)
        for answer, truth, expected in (
            (good, "good", "true_ok"),
            (good, "defective", "false_ok"),
            (bad, "good", "false_ng"),
            (bad, "defective", "true_ng"),
            (bad, None, None),
        ):
            path = f"/results/{answer['result_id']}/label"
            said = await client.post(path, json={"truth": truth, "who": "Ada"})
            assert said.json() == {"label": expected}
        path = f"/results/{bad['result_id']}/calibration"
        assert (await client.post(path, json={"picked": True, "who": "Ada"})).status_code == 200
        assert bad["result_id"] in (await client.get("/history?calibration=1")).text
        for refused in (
            {"truth": "x", "who": "Ada"},
            {"truth": "good", "who": " "},
            {"truth": "good"},
        ):
            path = f"/results/{good['result_id']}/label"
            assert (await client.post(path, json=refused)).status_code == 400
        assert line.store.reader.audit()[0].who.startswith("Ada (operator, 127.0.0.1")

    FakeLine(tmp_path).run(use)


CHANGE = {
    "recipe": "bolt",
    "base": 0,
    "threshold": 0.7,
    "review": 0.6,
    "who": "Ada",
    "why": "scratches are fine",
}


def test_only_an_engineer_changes_thresholds_and_the_change_acts_and_is_audited(
    tmp_path: Path,
) -> None:
    async def use(line: FakeLine, client: httpx2.AsyncClient) -> None:
        assert (await client.post("/threshold", json=CHANGE)).status_code == 403
        assert line.pool.held["bolt"].threshold == 0.5
        await log_in(client)
        before = await inspect(client, 160)
        answer = await client.post("/threshold", json=CHANGE)
        assert answer.json() == {"version": 1, "recipe": "bolt"}
        after = await inspect(client, 160)
        assert (before["verdict"], after["verdict"]) == ("NG", "REVIEW")
        entry = next(each for each in line.store.reader.audit() if each.action == "thresholds")
        assert entry.subject == "bolt v1"
        assert entry.who.startswith("Ada (engineer, ")
        assert "scratches are fine" in entry.detail
        assert "scratches are fine" in (await client.get("/threshold?recipe=bolt")).text
        assert (await client.post("/threshold", json=CHANGE)).status_code == 409

    FakeLine(tmp_path).run(use)


def test_what_was_saved_is_in_force_after_a_restart_and_that_is_written_down(
    tmp_path: Path,
) -> None:
    async def change(_: FakeLine, client: httpx2.AsyncClient) -> None:
        await log_in(client)
        assert (await client.post("/threshold", json=CHANGE)).status_code == 200

    async def look(line: FakeLine, client: httpx2.AsyncClient) -> None:
        assert line.pool.held["bolt"].threshold == 0.7
        assert line.desk.in_force("bolt").version == 1
        assert line.store.reader.audit()[0].action == "thresholds in force again"
        await log_in(client)
        again = CHANGE | {"base": 1, "threshold": 0.8}
        assert (await client.post("/threshold", json=again)).json()["version"] == 2

    FakeLine(tmp_path).run(change)
    FakeLine(tmp_path).run(look)


def test_what_was_saved_for_another_calibration_is_not_applied(tmp_path: Path) -> None:
    async def change(_: FakeLine, client: httpx2.AsyncClient) -> None:
        await log_in(client)
        assert (await client.post("/threshold", json=CHANGE)).status_code == 200

    async def look(line: FakeLine, client: httpx2.AsyncClient) -> None:
        assert line.pool.held["bolt"].threshold == 0.55
        await log_in(client)
        assert (await client.post("/threshold", json=CHANGE)).json()["version"] == 2

    FakeLine(tmp_path).run(change)
    from vipx.runtime.server.work.recipes import LoadedRecipe

    line = FakeLine(tmp_path)
    line.pool.held["bolt"] = LoadedRecipe("bolt", None, 0.55, 0.4)
    line.run(look)


def test_thresholds_that_the_engine_refuses_are_withdrawn_and_the_old_ones_stay(
    tmp_path: Path,
) -> None:
    async def use(line: FakeLine, client: httpx2.AsyncClient) -> None:
        await log_in(client)
        line.pool.refuse = True
        answer = await client.post("/threshold", json=CHANGE)
        assert answer.status_code == 503
        assert "stay in force" in answer.json()["error"]
        assert line.desk.in_force("bolt").version == 0
        assert line.store.reader.versions("bolt")[0].withdrawn == "the engine does not take it"
        line.pool.refuse = False
        assert (await client.post("/threshold", json=CHANGE)).json()["version"] == 2

    FakeLine(tmp_path).run(use)


@pytest.mark.parametrize(
    "changed",
    [
        {"threshold": 1.5},
        {"threshold": "0.5"},
        {"review": 0.9},
        {"why": ""},
        {"who": ""},
        {"base": "0"},
        {"recipe": "none"},
        {"threshold": None},
        {"threshold": True},
        {"why": "x" * 2001},
    ],
)
def test_changes_without_sense_are_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    async def use(line: FakeLine, client: httpx2.AsyncClient) -> None:
        await log_in(client)
        answer = await client.post("/threshold", json=CHANGE | changed)
        assert answer.status_code in (400, 404), answer.text
        assert line.store.reader.versions() == []

    FakeLine(tmp_path).run(use)


def test_scores_go_to_the_browser_with_their_labels(tmp_path: Path) -> None:
    async def use(_: FakeLine, client: httpx2.AsyncClient) -> None:
        answer = await inspect(client, 102)
        await client.post(
            f"/results/{answer['result_id']}/label", json={"truth": "good", "who": "A"}
        )
        given = (await client.get("/threshold/scores?recipe=bolt&last=10")).json()
        assert given["scores"] == [pytest.approx(0.4, abs=1e-6)]
        assert given["labels"] == ["false_ng"]
        assert given["now"]["threshold"] == 0.5
        for bad in ("0", "x", "20001", "-1"):
            assert (await client.get(f"/threshold/scores?last={bad}")).status_code == 400

    FakeLine(tmp_path).run(use)


def test_requests_of_other_sites_change_nothing(tmp_path: Path) -> None:
    async def use(line: FakeLine, client: httpx2.AsyncClient) -> None:
        await log_in(client)
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            for path in ("/threshold", "/live/reset", "/live/acknowledge", "/try"):
                assert (await client.post(path, json=CHANGE, headers=headers)).status_code == 403
        assert line.store.reader.versions() == []

    FakeLine(tmp_path).run(use)


def test_an_ng_stays_until_somebody_acknowledges_it(tmp_path: Path) -> None:
    async def use(line: FakeLine, client: httpx2.AsyncClient) -> None:
        bad = await inspect(client, 200)
        await inspect(client, 20)
        latched = line.board.plain()["latched"]
        assert latched["result_id"] == bad["result_id"]
        await client.post("/live/acknowledge", json={})
        assert line.board.plain()["latched"] is None
        assert line.store.reader.audit()[0].subject == bad["result_id"]

    FakeLine(tmp_path, latch=True).run(use)


def test_counters_count_as_the_line_does_and_can_be_reset(tmp_path: Path) -> None:
    async def use(line: FakeLine, client: httpx2.AsyncClient) -> None:
        for level in (20, 20, 110, 200):
            await inspect(client, level)
        counters = line.board.plain()["counters"]
        assert [counters[name] for name in ("triggers", "ok", "review", "ng", "error")] == [
            4,
            2,
            1,
            1,
            0,
        ]
        assert (
            counters["longest"] == counters["shortest"] == counters["mean"] == pytest.approx(24.2)
        )
        await client.post("/live/reset", json={})
        assert line.board.plain()["counters"]["triggers"] == 0

    FakeLine(tmp_path).run(use)


def test_live_pictures_come_by_number_and_old_ones_are_gone(tmp_path: Path) -> None:
    async def use(_: FakeLine, client: httpx2.AsyncClient) -> None:
        first = await inspect(client, 20)
        for _turn in range(12):
            last = await inspect(client, 30)
        assert (await client.get(f"/live.jpg?seq={last['seq']}")).headers[
            "content-type"
        ] == "image/png"
        assert (await client.get("/live.jpg")).status_code == 200
        assert (await client.get(f"/live.jpg?seq={first['seq']}")).status_code == 404

    FakeLine(tmp_path).run(use)


def test_the_screens_work_while_the_engine_and_the_disk_do_not(tmp_path: Path) -> None:
    async def use(line: FakeLine, client: httpx2.AsyncClient) -> None:
        line.pool.is_ready = False
        text = (await client.get("/system")).text
        assert "not ready" in text
        assert "no answer for 20 s" in text
        assert (await client.get("/system/report")).json()["vipx"] == "0"

    FakeLine(tmp_path).run(use)


def test_alarms_stand_above_every_screen_and_in_the_stream(tmp_path: Path) -> None:
    async def use(line: FakeLine, client: httpx2.AsyncClient) -> None:
        told = "Sink mes: no answer for 20 s"
        for path in SCREENS:
            assert f"<p>{told}</p>" in (await client.get(path)).text, path
        async for event in line.board.events(lambda: {"alarms": line.context.alarms()}):
            assert json.loads(event)["alarms"] == [told]
            break
        line.pool.is_ready = False
        assert "The engine is not ready" in (await client.get("/try")).text

    FakeLine(tmp_path).run(use)


@pytest.mark.parametrize(
    ("given", "after"),
    [
        ("/history%3Fverdict%3DNG", "/history?verdict=NG"),
        ("//evil.example", "/"),
        ("https%3A%2F%2Fevil.example", "/"),
        ("/%5Cevil.example", "/"),
        ("javascript%3Aalert(1)", "/"),
        ('"><script>', "/"),
    ],
)
def test_the_login_leads_back_to_this_server_only(tmp_path: Path, given: str, after: str) -> None:
    async def use(_: FakeLine, client: httpx2.AsyncClient) -> None:
        text = (await client.get(f"/login?next={given}")).text
        assert f'data-after="{escape(after)}"' in text

    FakeLine(tmp_path).run(use)


def test_a_raw_frame_is_on_the_live_screen_before_its_picture_is_written() -> None:
    board = Board()
    pixels = np.arange(3000 * 2 * 3, dtype=np.uint32).reshape(3000, 2, 3).astype(np.uint8)
    board.publish(record(Verdict.NG, image=None, frame=pixels), Receipt(1, True))
    assert board.newest is not None
    assert board.newest.plain()["has_image"] is True
    assert board.newest.record.frame is None  # twelve whole frames would be a lot of memory
    assert board.newest.frame is not None
    assert board.newest.frame.shape == (1000, 1, 3)
    assert board.newest.frame.base is None
    board.publish(record(Verdict.OK, image=None), Receipt(2, True))
    assert board.newest.plain()["has_image"] is False


def test_events_bring_the_newest_board_and_end_with_the_server() -> None:
    async def use() -> list[dict[str, Any]]:
        board = Board()
        seen = []
        async for text in board.events(dict):
            seen.append(json.loads(text))
            if len(seen) == 3:
                board.close()
            else:
                board.publish(record(Verdict.OK), Receipt(len(seen), True))
        return seen

    seen = asyncio.run(use())
    assert [len(board["results"]) for board in seen] == [0, 1, 2]


def test_a_slow_listener_gets_the_newest_board_not_every_one() -> None:
    async def use() -> int:
        board = Board()
        events = board.events(dict)
        await anext(events)
        for number in range(100):
            board.publish(record(Verdict.OK), Receipt(number, True))
        newest = json.loads(await anext(events))
        await events.aclose()  # type: ignore[attr-defined]
        assert not board.crowded
        return int(newest["results"][0]["seq"])

    assert asyncio.run(use()) == 99


def test_a_recipe_file_keeps_its_history_and_its_seal() -> None:
    from tests.runtime.server.page.recipes import small_recipe
    from vipx.recipe import content_sha256
    from vipx.runtime.server.page.desk import recipe_at
    from vipx.runtime.server.storage.reader import ThresholdVersion
    from vipx.runtime.server.work.recipes import LoadedRecipe

    old = LoadedRecipe("bolt", small_recipe())
    version = ThresholdVersion("bolt", 3, 1_795_262_400_000, "Ada", "too strict", 0.8, None)
    new = recipe_at(old, version).recipe
    assert new is not None
    assert old.recipe is not None
    assert new.thresholds.score is not None
    assert (new.thresholds.score.ng, new.thresholds.score.review) == (0.8, 0.8)
    assert "by Ada: too strict" in new.thresholds.score.warnings[-1]
    assert new.history[-1].sha256 == old.recipe.sha256
    assert new.sha256 == content_sha256(new) != old.recipe.sha256
    assert new.made.author == "Ada"


def test_a_recipe_whose_score_does_not_decide_is_not_changed_by_hand() -> None:
    from tests.runtime.server.page.recipes import small_recipe
    from vipx.runtime.server.page.desk import recipe_at
    from vipx.runtime.server.storage.reader import ThresholdVersion
    from vipx.runtime.server.work.recipes import LoadedRecipe

    version = ThresholdVersion("bolt", 1, 0, "Ada", "why", 0.8, None)
    with pytest.raises(UsageError, match="calibrate it again"):
        recipe_at(LoadedRecipe("bolt", small_recipe(score=False)), version)
