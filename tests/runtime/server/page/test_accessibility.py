"""axe-core finds nothing on any screen; runs where `VIPX_AXE` names an `axe.min.js` (`npm pack axe-core`)."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.server.page.line import FakeLine
from tests.runtime.server.page.test_browser import CHROMIUM, Watched, browser, upload, visiting

__all__ = ["browser"]  # a fixture
AXE = os.environ.get("VIPX_AXE")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(AXE is None, reason="VIPX_AXE names no axe.min.js"),
]


def findings(visit: Watched, screen: str) -> list[str]:
    """Let axe look at the page as it is; everything that it is sure of counts, minor findings included."""
    assert AXE is not None
    visit.page.evaluate(Path(AXE).read_text(encoding="utf-8") + "; null")
    found: dict[str, Any] = visit.page.evaluate("axe.run(document)")
    assert len(found["passes"]) > 10, "axe did not look"
    return [
        f"{screen}: {one['impact']} {one['id']}: {node['html'][:200]} ({node['failureSummary'][:300]})"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def each_screen(visit: Watched) -> list[str]:
    """Look at all screens with results of every kind, as an operator and as an engineer."""
    for level, part in ((20, "A-1"), (110, "A-2"), (200, "A-3")):
        visit.post(level, part)
    told: list[str] = []
    page = visit.open("/")
    page.wait_for_selector("#panel.panel-ng")
    page.click("details summary")
    told += findings(visit, "live")
    upload(visit.open("/try"))
    told += findings(visit, "try")
    visit.open("/history")
    told += findings(visit, "history")
    visit.page.click(".card a")
    visit.page.wait_for_selector("#say")
    told += findings(visit, "result")
    visit.open("/history?part_id=nothing")
    told += findings(visit, "empty history")
    for path in ("/threshold?recipe=bolt", "/system", "/login"):
        visit.open(path)
        told += findings(visit, path)
    visit.log_in()
    for path in ("/threshold?recipe=bolt", "/system"):
        visit.open(path)
        told += findings(visit, f"engineer's {path}")
    return told


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 400])
def test_axe_finds_nothing(browser: Any, tmp_path: Path, scheme: str, width: int) -> None:
    with visiting(browser, FakeLine(tmp_path, latch=True), color_scheme=scheme) as visit:
        visit.page.set_viewport_size({"width": width, "height": 900})
        told = each_screen(visit)
    assert told == [], "\n" + "\n".join(told)
