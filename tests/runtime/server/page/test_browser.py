"""The screens in a real browser: what people do with them, and that nothing leaves this machine."""

import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.runtime.server.page.line import PASSWORD, FakeLine, listening, photo

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
PIXEL = """([id, x, y]) => {
  const canvas = document.getElementById(id);
  const at = [Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1];
  return [...canvas.getContext('2d').getImageData(...at).data];
}"""
HOSTILE = [
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    '"><svg onload=window.hacked=1>',
    "'-window.hacked=1-'",
    "{{constructor.constructor('window.hacked=1')()}}",
    "javascript:window.hacked=1",
    "</textarea><script>window.hacked=1</script>",
    "&lt;script&gt;window.hacked=1&lt;/script&gt;",
    "=HYPERLINK(1)",
    "../../../etc/passwd",
    "\u202egnp.exe",
    "${window.hacked=1}",
    "`window.hacked=1`",
    "<iframe src=javascript:window.hacked=1>",
    "<math><mi xlink:href=javascript:window.hacked=1>x",
    "<a href=javascript:window.hacked=1>x</a>",
    "<style>*{display:none}</style>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "\\u003cscript\\u003ewindow.hacked=1\\u003c/script\\u003e",
]


@dataclass
class Watched:
    """A page, and what it asked for and complained of."""

    page: Any
    address: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def hear(self, said: Any) -> None:
        if said.type == "error":  # this test's own reading of pixels causes a warning
            self.complaints.append(said.text)

    def open(self, path: str) -> Any:
        self.page.goto(self.address + path)
        return self.page

    def post(self, level: int, part: str = "P-1") -> None:
        """A part of the line, from outside the browser."""
        query = f"recipe=bolt&part_id={quote(part)}"
        request = urllib.request.Request(f"{self.address}/v1/inspect?{query}", data=photo(level))
        request.add_header("Content-Type", "image/png")
        urllib.request.urlopen(request).read()

    def log_in(self) -> None:
        self.open("/login")
        self.page.fill("#secret", PASSWORD)
        self.page.click("main button")
        self.page.wait_for_selector("[data-role=engineer]")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]
        running = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        yield running
        running.close()


@contextmanager
def visiting(browser: Any, line: FakeLine, **options: Any) -> Iterator[Watched]:
    """Open a page of a line that runs meanwhile."""
    with listening(line) as address, looking(browser, address, **options) as watched:
        yield watched


@contextmanager
def looking(browser: Any, address: str, **options: Any) -> Iterator[Watched]:
    """Open a page; at the end nothing went elsewhere and nothing was complained of."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, **options)
    page = context.new_page()
    page.set_default_timeout(60_000)  # a busy machine must not decide what a test finds
    watched = Watched(page, address)
    page.on("request", lambda request: watched.requests.append(request.url))
    page.on("console", watched.hear)
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    page.on("dialog", lambda dialog: watched.complaints.append("a dialog opened"))
    try:
        yield watched
    finally:
        context.close()
    assert watched.complaints == []
    assert watched.requests
    assert [url for url in watched.requests if not url.startswith(address + "/")] == []


def upload(page: Any, name: str = "part.png", level: int = 60, spot: int = 230) -> None:
    page.set_input_files(
        "#file", {"name": name, "mimeType": "image/png", "buffer": photo(level, spot)}
    )
    page.wait_for_selector("#answer:not([hidden])")


def slide(page: Any, name: str, value: int) -> None:
    page.eval_on_selector(
        name,
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }",
        value,
    )


def test_a_picture_is_uploaded_and_the_sliders_act_without_a_request(
    browser: Any, tmp_path: Path
) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        page = visit.open("/try")
        upload(page)
        assert page.inner_text("#verdict").split() == ["✓", "OK"]
        assert page.input_value("#part") == ""
        asked = len(visit.requests)
        slide(page, "#opacity", 0)
        assert page.evaluate(PIXEL, ["view", 0.5, 0.5]) == [230, 230, 230, 255]
        slide(page, "#opacity", 100)
        red, green, blue, _ = page.evaluate(PIXEL, ["view", 0.5, 0.5])
        assert (red, green, blue) == pytest.approx((251, 217, 133), abs=4)
        page.select_option("#colours", "mark")
        slide(page, "#level", 200)
        assert page.evaluate(PIXEL, ["view", 0.5, 0.5])[:3] == [255, 122, 0]
        assert page.evaluate(PIXEL, ["view", 0.05, 0.05])[:3] == [60, 60, 60]
        page.check("#contour")
        assert page.evaluate(PIXEL, ["plain", 0.5, 0.5]) == [230, 230, 230, 255]
        assert len(visit.requests) == asked


def test_a_picture_can_be_dropped_and_a_broken_one_is_explained(
    browser: Any, tmp_path: Path
) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        page = visit.open("/try")
        handle = page.evaluate_handle(
            "data => { const t = new DataTransfer();"
            "t.items.add(new File([new Uint8Array(data)], 'dropped.png', {type: 'image/png'})); return t; }",
            list(photo(200)),
        )
        page.dispatch_event("#drop", "drop", {"dataTransfer": handle})
        page.wait_for_selector("#answer:not([hidden])")
        assert "NG" in page.inner_text("#verdict")
        page.set_input_files(
            "#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"broken"}
        )
        page.wait_for_selector("#answer", state="hidden")
        assert "picture" in page.inner_text("#message")
        visit.complaints[:] = [each for each in visit.complaints if "400" not in each]


def test_the_live_screen_follows_the_line_and_ng_waits_for_the_operator(
    browser: Any, tmp_path: Path
) -> None:
    with visiting(browser, FakeLine(tmp_path, latch=True)) as visit:
        page = visit.open("/")
        page.wait_for_selector("text=● connected")
        assert page.inner_text("#word") == "WAITING"
        visit.post(20, "A-1")
        page.wait_for_selector("#panel.panel-ok")
        assert page.inner_text("#word") == "OK"
        visit.post(200, "A-2")
        page.wait_for_selector("#panel.panel-ng")
        visit.post(20, "A-3")
        page.wait_for_selector("[data-count=triggers]:text-is(3)".replace("(3)", "('3')"))
        assert page.inner_text("#word") == "NG"
        page.click("#acknowledge")
        page.wait_for_selector("#panel.panel-ok")
        assert page.locator("#strip li").count() == 3
        page.wait_for_selector("canvas#view[width='240']")
        page.click("#reset")
        page.wait_for_selector("[data-count=triggers]:text-is(0)".replace("(0)", "('0')"))


def test_the_history_filters_shows_labels_and_exports(browser: Any, tmp_path: Path) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        visit.post(20, "good one")
        visit.post(200, "bad one")
        page = visit.open("/history")
        assert page.locator(".card").count() == 2
        page.select_option("select[name=verdict]", "NG")
        page.click("form.filter button")
        page.wait_for_url("**/history?verdict=NG")
        assert page.locator(".card").count() == 1
        for kind in ("CSV", "zip"):
            with page.expect_download(timeout=60_000) as download:
                page.click(f"text=Export {kind}")
            assert Path(download.value.path()).stat().st_size > 100
        page.click(".card a")
        page.wait_for_selector("#say")
        page.wait_for_load_state()  # buttons act once their script ran
        page.fill("#who", "Ada")
        page.click("[data-truth=good]")
        page.wait_for_selector("text=false ng by Ada")
        page.check("#calibration")
        page.wait_for_selector("#message:has-text('Saved')")
        visit.open("/history?calibration=1")
        assert page.locator(".card").count() == 1


def test_a_threshold_is_changed_with_a_reason_and_the_audit_tells(
    browser: Any, tmp_path: Path
) -> None:
    line = FakeLine(tmp_path)
    with visiting(browser, line) as visit:
        for level in (20, 110, 140, 200):
            visit.post(level)
        page = visit.open("/threshold?recipe=bolt")
        assert page.is_disabled("#put")
        visit.log_in()
        page = visit.open("/threshold?recipe=bolt")
        page.wait_for_selector("text=0 of 4 verdicts would change")
        asked = len(visit.requests)
        slide(page, "#ng", 6000)
        assert page.inner_text("#changes") == "1 of 4 verdicts would change"
        slide(page, "#review", 3000)
        assert page.inner_text("#changes") == "1 of 4 verdicts would change"
        slide(page, "#review", 7000)
        assert page.input_value("#ng-number") == "0.7000"
        slide(page, "#review", 4000)
        assert len(visit.requests) == asked
        assert line.pool.held["bolt"].threshold == 0.5
        page.fill("#who", "Ada")
        page.fill("#why", "reflections </textarea><script>window.hacked=1</script>")
        page.click("#put")
        page.wait_for_selector("text=version 1")
        assert line.pool.held["bolt"].threshold == 0.7
        page = visit.open("/system")
        assert "bolt v1" in page.inner_text("#audit")
        assert "Ada (engineer" in page.inner_text("#audit")
        assert page.evaluate("window.hacked") is None


def test_hostile_names_do_not_run_anywhere(browser: Any, tmp_path: Path) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        page = visit.open("/try")
        for text in HOSTILE:
            upload(page, name=text.replace("/", "_")[:100] + ".png")
            page.wait_for_selector("#message:empty", state="attached")
        for number, text in enumerate(HOSTILE):
            if text.isprintable():
                visit.post(20 + number, text)
        for path in ("/", "/history", f"/history?part_id={quote(HOSTILE[0])}"):
            page = visit.open(path)
            page.wait_for_selector(".verdict")
            assert page.evaluate("window.hacked") is None
        links = page.eval_on_selector_all(".card a", "all => all.map(a => a.href)")
        for link in links[:3]:
            page.goto(link)
            page.wait_for_selector("#say")
            assert page.evaluate("window.hacked") is None


def test_every_screen_works_by_keyboard_and_names_its_controls(
    browser: Any, tmp_path: Path
) -> None:
    with visiting(browser, FakeLine(tmp_path)) as visit:
        # Playwright takes the dialog's place from the first listener on, and does not wait until
        # it has: of the two, a key pressed at once may reach a busy page first.
        visit.page.on("filechooser", lambda chooser: None)
        visit.post(200)
        for path in ("/", "/try", "/history", "/threshold", "/system", "/login"):
            page = visit.open(path)
            unnamed = page.evaluate(
                "[...document.querySelectorAll('input,select,textarea,button')].filter(e =>"
                "!(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.textContent.trim())"
                ".map(e => e.outerHTML)"
            )
            assert unnamed == [], path
            page.keyboard.press("Tab")
            if path != "/login":
                assert page.evaluate("document.activeElement.className") == "skip"
        page = visit.open("/try")
        page.focus("#file")
        with page.expect_file_chooser():
            page.keyboard.press("Space")


@pytest.mark.parametrize("width", [1440, 1024, 400])
def test_no_screen_scrolls_sideways(browser: Any, tmp_path: Path, width: int) -> None:
    """Neither before the first part nor with a verdict, nor in a wider font than this machine's."""
    with visiting(browser, FakeLine(tmp_path)) as visit:
        visit.page.set_viewport_size({"width": width, "height": 900})
        for path in ("/", "/try", "/history", "/threshold", "/system", "/login"):
            page = visit.open(path)
            for look in ("", "* { letter-spacing: .2em !important; }"):
                page.evaluate(
                    "look => { const sheet = new CSSStyleSheet(); sheet.replaceSync(look);"
                    "document.adoptedStyleSheets = [sheet]; }",
                    look,
                )
                for word in ("WAITING", "REVIEW"):
                    page.evaluate(
                        "word => (document.querySelector('#word') || {}).textContent = word",
                        word,
                    )
                    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
                    assert widths[0] <= widths[1], (path, look, word)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(browser: Any, tmp_path: Path, scheme: str) -> None:
    """WCAG's contrast of 4.5, in both schemes, for every verdict and for plain text."""
    contrast = """() => {
      const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => { v /= 255;
        return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126*r + .7152*g + .0722*b; };
      const of = e => { const s = getComputedStyle(e);
        const [a, b] = [light(s.color), light(s.backgroundColor)];
        return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); };
      const out = { body: of(document.body), bar: of(document.querySelector('.bar')) };
      for (const v of ['ok', 'ng', 'review', 'error']) { const e = document.createElement('span');
        e.className = `verdict verdict-${v}`; document.body.append(e); out[v] = of(e); }
      const soft = document.createElement('p'); soft.className = 'soft'; document.body.append(soft);
      soft.style.background = getComputedStyle(document.body).backgroundColor; out.soft = of(soft);
      return out; }"""
    with visiting(browser, FakeLine(tmp_path), color_scheme=scheme) as visit:
        found = visit.open("/system").evaluate(contrast)
    assert all(value >= 4.5 for value in found.values()), found
