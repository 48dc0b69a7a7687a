"""More of what people do with the screens, in a real browser; `test_browser.py` has the main roads."""

import io
import json
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.runtime.server.page.line import PASSWORD, FakeLine, photo
from tests.runtime.server.page.test_browser import (
    CHROMIUM,
    PIXEL,
    Watched,
    browser,
    upload,
    visiting,
)

__all__ = ["browser"]  # a fixture
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


def post_frame(visit: Watched, level: int) -> None:
    """A part of the line as raw pixels."""
    pixels = np.full((1, 30, 40, 3), level, np.uint8)
    tensor = {"name": "IMAGE", "shape": list(pixels.shape), "datatype": "UINT8"}
    body = json.dumps({"inputs": [tensor | {"data": pixels.ravel().tolist()}]}).encode()
    request = urllib.request.Request(f"{visit.address}/v2/models/bolt/infer", data=body)
    request.add_header("Content-Type", "application/json")
    urllib.request.urlopen(request).read()


def forgive(visit: Watched, *words: str) -> None:
    """Expect complaints of the browser that hold these words."""
    visit.complaints[:] = [each for each in visit.complaints if not any(w in each for w in words)]


def count_of(page: Any, name: str, value: int) -> None:
    page.wait_for_selector(f"[data-count={name}]:text-is('{value}')")


def test_a_picture_can_be_pasted(browser: Any, tmp_path: Path) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        page = visit.open("/try")
        page.evaluate(
            "data => { const t = new DataTransfer();"
            "t.items.add(new File([new Uint8Array(data)], 'pasted.png', {type: 'image/png'}));"
            "document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: t})); }",
            list(photo(200)),
        )
        page.wait_for_selector("#answer:not([hidden])")
        assert "NG" in page.inner_text("#verdict")
        assert page.inner_text("#name") == "pasted.png"


def test_a_tried_picture_shows_its_times_and_leads_to_the_history(
    browser: Any, tmp_path: Path
) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        page = visit.open("/try")
        page.fill("#part", "my part")
        upload(page)
        assert page.locator("#times tr").all_inner_texts() == [
            "queue\t0.04",
            "preprocess\t0.90",
            "infer\t23.00",
            "postprocess\t0.30",
        ]
        page.click("#more")
        page.wait_for_selector("h1:has-text('my part')")


def test_a_tiff_is_shown_although_browsers_cannot_read_it(browser: Any, tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((180, 240, 3), 77, np.uint8)).save(file, format="TIFF")
    with visiting(browser, FakeLine(tmp_path)) as visit:
        page = visit.open("/try")
        page.set_input_files(
            "#file", {"name": "a.tiff", "mimeType": "image/tiff", "buffer": file.getvalue()}
        )
        page.wait_for_selector("#answer:not([hidden])")
        assert page.evaluate(PIXEL, ["plain", 0.5, 0.5]) == [77, 77, 77, 255]


def test_a_recipe_is_chosen(browser: Any, tmp_path: Path) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        page = visit.open("/try")
        page.select_option("#recipe", "nut")
        upload(page)
        page.click("#more")
        page.wait_for_selector("dd:text-is('nut')")


def test_a_raw_frame_is_seen_on_the_live_screen_and_later_in_the_history(
    browser: Any, tmp_path: Path
) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        page = visit.open("/")
        page.wait_for_selector("text=● connected")
        post_frame(visit, 200)
        page.wait_for_selector("canvas#view[width='40']")
        page.wait_for_selector("#strip img")
        assert page.is_hidden("#no-picture")
        page.click("#strip a")
        page.wait_for_selector("#say")
        for _ in range(100):  # its picture follows the row
            if page.get_attribute("#result", "data-image") == "1":
                break
            page.wait_for_timeout(100)
            page.reload()
        assert page.get_attribute("#result", "data-image") == "1"
        page.wait_for_selector("canvas#view[width='40']")


def test_the_bar_tells_that_the_engine_is_away_and_that_it_is_back(
    browser: Any, tmp_path: Path
) -> None:
    line = FakeLine(tmp_path)
    with visiting(browser, line) as visit:
        page = visit.open("/")
        page.wait_for_selector("text=● connected")
        line.pool.is_ready = False
        visit.post(20)
        page.wait_for_selector("#alarms:has-text('The engine is not ready')")
        line.pool.is_ready = True
        visit.post(20)
        page.wait_for_selector("#alarms:not(:has-text('The engine is not ready'))")
        assert "Sink mes: no answer for 20 s" in page.inner_text("#alarms")


def test_without_connection_no_verdict_is_shown(browser: Any, tmp_path: Path) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        page = visit.open("/")
        visit.post(20)
        page.wait_for_selector("#panel.panel-ok")
        page.context.set_offline(True)
        page.evaluate("const real = Date.now; Date.now = () => real() + 60000;")
        page.wait_for_selector("#alarms:has-text('No connection')")
        assert page.inner_text("#word") == "WAITING"
        assert "no connection" in page.inner_text("#link-state")
        forgive(visit, "net::ERR_")  # which one, each browser says in its own way


def test_the_strip_holds_twelve_parts_and_leads_to_each(browser: Any, tmp_path: Path) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        page = visit.open("/")
        for number in range(14):
            visit.post(20 + number, f"P-{number}")
        count_of(page, "triggers", 14)
        assert page.locator("#strip li").count() == 12
        page.click("#strip li:nth-child(3) a")
        page.wait_for_selector("h1:has-text('P-11')")


def test_the_live_overlay_has_its_own_controls(browser: Any, tmp_path: Path) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        page = visit.open("/")
        visit.post(200)
        page.wait_for_selector("canvas#view[width='240']")
        asked = len(visit.requests)
        page.click("details summary")
        page.evaluate(
            "() => { const o = document.getElementById('opacity'); o.value = 0;"
            "o.dispatchEvent(new Event('input')); }"
        )
        assert page.evaluate(PIXEL, ["view", 0.5, 0.5]) == [200, 200, 200, 255]
        assert len(visit.requests) == asked


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("part_id", "bad", ["bad one"]),
        ("least", "0.5", ["bad one"]),
        ("most", "0.3", ["good one"]),
        ("since", "2999-01-01T00:00", []),
        ("until", "2999-01-01T00:00", ["bad one", "good one"]),
    ],
)
def test_the_history_is_filtered_by_each_field(
    browser: Any, tmp_path: Path, name: str, value: str, left: list[str]
) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        visit.post(20, "good one")
        visit.post(200, "bad one")
        page = visit.open("/history")
        page.fill(f"input[name={name}]", value)
        page.click("form.filter button")
        page.wait_for_selector(f"#count:has-text('{len(left)}')")
        assert page.locator(".card .part").all_inner_texts() == left


def test_older_results_are_on_further_pages(browser: Any, tmp_path: Path) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        for number in range(62):
            visit.post(20, f"P-{number}")
        page = visit.open("/history")
        assert page.locator(".card").count() == 60
        page.click("text=Older results")
        page.wait_for_selector(".card:has-text('P-0')")
        assert page.locator(".card").count() == 2


def test_a_label_is_taken_back_by_another_and_stays_by_reload(browser: Any, tmp_path: Path) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        visit.post(200)
        page = visit.open("/history")
        page.click(".card a")
        page.wait_for_load_state()  # buttons act once their script ran
        page.fill("#who", "Ada")
        page.click("[data-truth=good]")
        page.wait_for_selector("text=false ng by Ada")
        page.click("[data-truth=defective]")
        page.wait_for_selector("text=true ng by Ada")
        page.reload()
        assert "true ng by Ada" in page.inner_text("#label")
        assert page.input_value("#who") == "Ada"


def test_two_engineers_do_not_overwrite_one_another(browser: Any, tmp_path: Path) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        visit.post(200)
        visit.log_in()
        page = visit.open("/threshold?recipe=bolt")
        other = page.context.new_page()
        other.goto(f"{visit.address}/threshold?recipe=bolt")
        for one, why in ((other, "first"), (page, "second")):
            one.wait_for_selector("text=0 of 1 verdicts would change")
            one.fill("#ng-number", "0.9")
            one.dispatch_event("#ng-number", "input")
            one.fill("#who", "Ada")
            one.fill("#why", why)
            one.click("#put")
            if one is other:
                one.wait_for_selector("#in-force:has-text('version 1')")
        page.wait_for_selector("#message:not(:empty)")
        assert "in force" not in page.inner_text("#message")
        assert "second" not in visit.open("/threshold?recipe=bolt").inner_text("#versions")
        forgive(visit, "409", "400")


def test_the_system_screen_examines_this_machine(browser: Any, tmp_path: Path) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        page = visit.open("/system")
        assert "webhook" in page.inner_text("main")
        page.click("#examine")
        page.wait_for_selector("#report:has-text('engines')")


def test_the_login_leads_back_and_the_way_out_works(browser: Any, tmp_path: Path) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        page = visit.open("/history?verdict=NG")
        page.click("text=Engineer log-in")
        page.wait_for_selector("#secret")
        page.fill("#secret", "wrong")
        page.click("main button")
        page.wait_for_selector("#message:has-text('the password is wrong')")
        page.fill("#secret", PASSWORD)
        page.click("main button")
        page.wait_for_url("**/history?verdict=NG")
        page.wait_for_selector("[data-role=engineer]")
        page.click("#log-out")
        page.wait_for_selector("[data-role=operator]")
        forgive(visit, "401")


@pytest.mark.parametrize(
    "after", ["//evil.example/", "https://evil.example/", "/\\evil.example", "/%09/evil.example"]
)
def test_the_login_leads_nowhere_else(browser: Any, tmp_path: Path, after: str) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        page = visit.open(f"/login?next={after}")
        page.fill("#secret", PASSWORD)
        page.click("main button")
        page.wait_for_selector("[data-role=engineer]")
        assert page.url.startswith(visit.address + "/")


def test_one_part_of_the_line_does_not_wait_for_a_page_that_is_open(
    browser: Any, tmp_path: Path
) -> None:
    """Every open page holds one stream, and closing it frees its place."""
    line = FakeLine(tmp_path)
    with visiting(browser, line) as visit:
        page = visit.open("/")
        page.wait_for_selector("text=● connected")
        others = [page.context.new_page() for _ in range(3)]
        for other in others:
            other.goto(visit.address + "/")
            other.wait_for_selector("text=● connected")
        visit.post(20)
        for each in (page, *others):
            each.wait_for_selector("#panel.panel-ok")
        for other in others:
            other.close()
        visit.post(200)
        page.wait_for_selector("#panel.panel-ng")
