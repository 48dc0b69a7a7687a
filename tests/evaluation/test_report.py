"""Reports hold everything and ask nobody; names of files are shown and never run."""

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.evaluation import browser
from tests.evaluation.fakes import Brightness, write_tree
from vipx.evaluation.comparison import compared
from vipx.evaluation.evaluation import Evaluation, evaluate
from vipx.evaluation.paper import paper_rows
from vipx.evaluation.report.evaluation_page import PLATES_MOST, evaluation_page
from vipx.evaluation.report.writing import write_comparison, write_evaluation
from vipx.evaluation.sources import DataChoice, open_source

HOSTILE = "<img src=x onerror=alert(1)>"
MOST_BYTES = 6 * 2**20


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag == name]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    root = write_tree(tmp_path_factory.mktemp("tree"), ("bolt", HOSTILE))
    source = open_source(DataChoice("mvtec", root, limit=5))
    return evaluate(Brightness(), source, "exact", lambda _: None)


@pytest.fixture(scope="module")
def page(found: Evaluation) -> str:
    return evaluation_page(found.results, found.views)


def test_the_page_holds_everything_and_asks_nobody(page: str, found: Evaluation) -> None:
    tags = Tags(page)
    plates = [plate for view in found.views for plate in view.plates]
    pictures = tags.all("img")
    assert len(pictures) == sum(3 if plate.truth else 2 for plate in plates)
    assert all((p["src"] or "").startswith("data:image/jpeg;base64,") for p in pictures)
    assert all(p["alt"] for p in pictures)
    assert not [tag for tag, _ in tags.found if tag in ("script", "iframe", "object", "form")]
    assert not re.search(r"https?://|url\(|@import", page)
    assert "default-src 'none'" in page
    assert all(not name.startswith("on") for _, attributes in tags.found for name in attributes)


def test_names_are_shown_and_not_run(page: str) -> None:
    assert HOSTILE not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "bright&lt;i&gt;.vipx" in page


def test_figures_stand_beside_the_papers_with_source_and_caveat(
    page: str, found: Evaluation
) -> None:
    value = found.results.mean.metrics.image_auroc
    assert value is not None
    assert f">{100 * value:.1f}<" in page
    for row in paper_rows("mvtec"):
        assert row.method in page
    assert "arXiv 2505.17692" in page
    assert "were not measured here" in page
    assert "covers 2 of 15 categories" in page
    assert "took a part of the pictures only" in page
    assert "exact" in page


def test_a_dataset_that_the_paper_lacks_has_no_such_table(found: Evaluation) -> None:
    data = found.results.data.model_copy(update={"dataset": "folders"})
    results = found.results.model_copy(update={"data": data})
    assert "Beside the paper" not in evaluation_page(results, found.views)


def test_charts_are_wellformed_drawings_with_a_name(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) == 4 * 2
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.get("role") == "img"
        assert root.get("aria-label")
        lines = re.findall(r'points="([^"]*)"', drawing)
        for point in " ".join(lines).split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 280
            assert 0 <= y <= 264


def test_tables_have_captions_and_headers_with_a_scope(page: str) -> None:
    tags = Tags(page)
    assert len(tags.all("caption")) == len(tags.all("table")) == 3
    assert {header["scope"] for header in tags.all("th")} == {"col", "row"}


def test_many_categories_do_not_make_an_endless_page(found: Evaluation) -> None:
    views = [found.views[0]] * 60
    record = found.results.categories[0]
    results = found.results.model_copy(update={"categories": (record,) * 60})
    large = evaluation_page(results, views)
    assert 60 <= len(Tags(large).all("img")) / 3 <= PLATES_MOST
    assert len(large) < MOST_BYTES


@pytest.mark.slow
@pytest.mark.skipif(browser.find() is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_shows_both_reports_without_complaint_or_request(
    found: Evaluation, tmp_path: Path, dark: bool
) -> None:
    write_evaluation(tmp_path / "run", found)
    runs = (found.results, found.results)
    write_comparison(tmp_path / "both", compared(*runs), runs)
    for name in ("run", "both"):
        report = tmp_path / name / "report.html"
        seen = browser.visit(str(browser.find()), report, tmp_path / "profile", dark=dark)
        assert seen.complaints == []
        away = [url for url in seen.requests if not url.startswith("data:")]
        assert away == [report.resolve().as_uri()]
        assert len(seen.images) == len(Tags(report.read_text()).all("img"))
        assert all(done and natural and shown for done, natural, shown, _ in seen.images)
        assert seen.overflow == 0
        assert seen.screenshot.startswith(b"\x89PNG")
