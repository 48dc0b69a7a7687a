"""What a person sees in a real browser while something is wrong, and that it goes away by itself."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.server.page.line import FakeLine, listening
from tests.runtime.server.page.test_browser import (
    CHROMIUM,
    PIXEL,
    Watched,
    browser,
    looking,
    visiting,
)
from tests.runtime.server.page.test_flows import forgive
from vipx.runtime.server.page import board
from vipx.runtime.server.storage.writing.disk import DiskSpace

__all__ = ["browser"]  # a fixture
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
SCREENS = ("/try", "/history", "/threshold", "/system")
DEGRADED = "on the fallback engine, as the other one failed too often: the child was lost"


@pytest.fixture(autouse=True)
def _streams_beat_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "_HEARTBEAT_S", 0.2)


def quiet(folder: Path, **options: Any) -> FakeLine:
    """A line that has no alarm of its own."""
    line = FakeLine(folder, **options)
    line.told.append(lambda: ())
    return line


def live(visit: Watched) -> Any:
    """The Live screen, with a mark that a reload would wipe out."""
    page = visit.open("/")
    page.wait_for_selector("text=● connected")
    page.evaluate("window.stayed = true")
    return page


def told(page: Any, text: str) -> None:
    page.wait_for_selector(f"#alarms p:has-text('{text}')")


def healed(page: Any) -> None:
    """No alarm any more, and the page was not loaded again."""
    page.wait_for_selector("#alarms:not(:has(p))", state="attached")
    assert page.evaluate("window.stayed") is True


def test_a_degraded_engine_is_told_until_it_is_not_and_parts_are_judged(
    browser: Any, tmp_path: Path
) -> None:
    line = quiet(tmp_path)
    with visiting(browser, line) as visit:
        page, other = live(visit), visit.page.context.new_page()
        healed(page)
        line.pool.degraded = DEGRADED
        told(page, f"The engine runs degraded: {DEGRADED}")
        visit.post(20)
        page.wait_for_selector("#panel.panel-ok")
        told(page, "degraded")
        other.goto(visit.address + "/system")
        told(other, "degraded")
        assert other.inner_text(".tiles section:first-child .state") == "✓ ready, degraded"
        assert DEGRADED in other.inner_text(".tiles section:first-child .note")
        line.pool.degraded = None
        healed(page)
        other.reload()
        assert other.inner_text(".tiles section:first-child .state.good") == "✓ ready"


def test_a_lost_engine_is_told_until_the_next_one_is_ready(browser: Any, tmp_path: Path) -> None:
    line = quiet(tmp_path)
    with visiting(browser, line) as visit:
        page, other = live(visit), visit.page.context.new_page()
        line.pool.is_ready = False
        told(page, "The engine is not ready: no part gets a verdict.")
        other.goto(visit.address + "/system")
        assert other.inner_text(".tiles section:first-child .state.bad") == "! not ready"
        line.pool.is_ready = True
        healed(page)


@contextmanager
def full(line: FakeLine) -> Iterator[None]:
    room, line.room = line.room, DiskSpace(total=10**12, free=0)
    yield
    line.room = room


@contextmanager
def locked(line: FakeLine) -> Iterator[None]:
    other = sqlite3.connect(line.folder / "results.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


@contextmanager
def broken(line: FakeLine) -> Iterator[None]:
    """The folder for pictures is a file, as after a wrong repair."""
    data = line.folder / "data"
    data.rename(line.folder / "aside")
    data.write_text("no folder")
    yield
    data.unlink()
    (line.folder / "aside").rename(data)


@pytest.mark.parametrize("fault", [full, locked, broken])
def test_a_disk_that_takes_nothing_is_told_on_every_screen_while_parts_are_judged(
    browser: Any, tmp_path: Path, fault: Callable[[FakeLine], Any]
) -> None:
    line = quiet(tmp_path, storage={"busy_ms": 20})
    with visiting(browser, line) as visit:
        page, other = live(visit), visit.page.context.new_page()
        visit.post(20, "kept")
        page.wait_for_selector("#panel.panel-ok")
        with fault(line):
            visit.post(200, "not kept")
            page.wait_for_selector("#panel.panel-ng")
            told(page, "Results are not stored")
            assert page.locator("#strip li:has-text('not kept') a").count() == 0
            assert page.locator("#strip li:has-text('kept') a").count() == 1
            for path in SCREENS:
                other.goto(visit.address + path)
                told(other, "Results are not stored")
            assert "NOT stored" in other.inner_text(".tiles")
            visit.post(20, "judged")
            page.wait_for_selector("#panel.panel-ok")
        healed(page)
        visit.post(20, "kept again")
        page.wait_for_selector("#strip a:has-text('kept again')")
        other.reload()
        assert "✓ results are stored" in other.inner_text(".tiles")
        assert other.locator("#alarms p").count() == 0


def test_a_server_that_stops_leaves_nothing_that_looks_present_until_it_is_back(
    browser: Any, tmp_path: Path
) -> None:
    with ExitStack() as serving:
        address = serving.enter_context(listening(quiet(tmp_path)))
        with looking(browser, address) as visit:
            page = live(visit)
            visit.post(20)
            page.wait_for_selector("#panel.panel-ok")
            page.wait_for_selector("canvas#view[width='240']")
            serving.close()
            told(page, "No connection to the server: what is shown is old.")
            assert page.inner_text("#word") == "WAITING"
            assert page.inner_text("#link-state") == "○ no connection"
            serving.enter_context(listening(quiet(tmp_path), int(address.rpartition(":")[2])))
            page.wait_for_selector("text=● connected")
            healed(page)
            page.wait_for_selector("#no-picture:visible:has-text('No part yet')")
            page.wait_for_function(f"({PIXEL})(['view', 0.5, 0.5])[3] === 0")
            visit.post(200)
            page.wait_for_selector("#panel.panel-ng")
            forgive(visit, "net::ERR_")


def test_a_page_that_found_no_place_gets_one_by_itself(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with visiting(browser, quiet(tmp_path)) as visit, monkeypatch.context() as crowd:
        crowd.setattr(board, "_MOST_LISTENERS", 0)
        page = visit.open("/")
        page.wait_for_selector("text=○ no connection")
        crowd.undo()
        page.wait_for_selector("text=● connected")
        forgive(visit, "503")
