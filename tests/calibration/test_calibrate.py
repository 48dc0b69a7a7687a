"""`vipx calibrate` and `vipx predict --recipe`: good images in, verdicts with reasons out."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tests.evaluation import browser
from vipx.commands.calibrate import calibrate
from vipx.commands.predict import predict
from vipx.console import VipxGroup
from vipx.demo import DEMO_BUNDLE
from vipx.recipe import read_recipe
from vipx.training.data.procedural import draw_part

COUNT = 48
LOOSE = ("--rate", 0.13, "--threads", 1)


def run(command: str, *arguments: object) -> Result:
    group = click.Group("vipx", commands={"calibrate": calibrate, "predict": predict})
    group.__class__ = VipxGroup
    return CliRunner().invoke(group, [command, *map(str, arguments)])


def draw(folder: Path, count: int, defect: str | None) -> Path:
    for number in range(count):
        drawn = draw_part("capsule", number, height=96, width=96, defect=defect)
        Image.fromarray(drawn.image).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("good"), COUNT, None)


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("bad"), 3, "random")


@pytest.fixture(scope="module")
def made(good: Path, bad: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    recipe = tmp_path_factory.mktemp("made") / "part.recipe"
    page = recipe.with_suffix(".html")
    extra = ("--defects", bad, "--report", page, "--author", "<b>me</b>", "--json")
    return recipe, run("calibrate", DEMO_BUNDLE, good, "-o", recipe, *LOOSE, *extra)


def test_a_recipe_is_written_whole_and_nothing_is_left_beside_it(
    made: tuple[Path, Result],
) -> None:
    path, result = made
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    recipe = read_recipe(path)
    assert record["sha256"] == recipe.sha256
    assert recipe.product == "part"
    assert recipe.images.count == record["images"] == COUNT
    assert recipe.summary.scores["images"] == COUNT
    assert recipe.engine.engine == "onnxruntime"
    assert recipe.thresholds.score is not None
    assert recipe.thresholds.score.rate == 0.13
    assert {p.name for p in path.parent.iterdir()} == {"part.recipe", "part.html", "part.json"}
    assert json.loads(path.with_suffix(".json").read_text()) == {
        name: value for name, value in record.items() if name != "recipe"
    }


def test_predict_judges_as_the_recipe_says(made: tuple[Path, Result], good: Path) -> None:
    path, _ = made
    recipe = read_recipe(path)
    score, level = recipe.thresholds.score, recipe.thresholds.level
    assert score is not None
    assert level is not None
    result = run("predict", DEMO_BUNDLE, good, "--recipe", path, "--json", "--threads", 1)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    expected = {
        (one["name"], one["verdict"]) for one in json.loads(made[1].stdout)["scores"] if one["good"]
    }
    assert {(Path(row["path"]).name, row["verdict"]) for row in rows} == expected
    for row in rows:
        assert row["product"] == "part"
        if row["verdict"] == "NG":
            assert row["causes"]
            assert ("score" in row["causes"]) == (row["score"] >= score.ng)
    ng = run("predict", DEMO_BUNDLE, good, "--recipe", path, "--fail-on-ng", "--threads", 1)
    assert ng.exit_code == (10 if any(row["verdict"] == "NG" for row in rows) else 0)


def test_an_existing_recipe_is_kept_or_goes_into_the_history(
    made: tuple[Path, Result], good: Path, tmp_path: Path
) -> None:
    old, _ = made
    path = tmp_path / "part.recipe"
    path.write_bytes(old.read_bytes())
    assert run("calibrate", DEMO_BUNDLE, good, "-o", path, *LOOSE).exit_code == 2
    assert path.read_bytes() == old.read_bytes()
    again = ("--overwrite", "--leave-out", "07.png", "--minimal-area", 4)
    result = run("calibrate", DEMO_BUNDLE, good, "-o", path, *LOOSE, *again)
    assert result.exit_code == 0, result.output
    recipe = read_recipe(path)
    assert [past.sha256 for past in recipe.history] == [read_recipe(old).sha256]
    assert recipe.images.left_out == ("07.png",)
    compared = run("calibrate", "--compare", old, path, "--json")
    record = json.loads(compared.stdout)
    assert record["same_bundle"]
    assert not record["same_images"]
    assert record["replaces"]
    assert record["minimal_area"] == {"old": 1, "new": 4}


def test_a_recipe_of_another_bundle_is_refused_with_4(
    made: tuple[Path, Result], tiny_bundle: Path, good: Path
) -> None:
    result = run("predict", tiny_bundle, good, "--recipe", made[0], "--threads", 1)
    assert result.exit_code == 4
    assert "calibrate again with this bundle" in result.stderr


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [
        (("--rate", 0.001), 6, "cannot support a false-alarm rate"),
        (("--rate", 2), 2, "rate"),
        (("--cost-miss", 9, "--prevalence", 0.1), 2, "--defects"),
        (("--cost-miss", 9), 2, "--prevalence"),
        (("--cost-miss", -9, "--prevalence", 0.1), 2, "miss"),
        (("--defects", "/nowhere"), 3, "/nowhere"),
        (("--region", "/nowhere.json"), 3, "/nowhere.json"),
        (("--leave-out", "zz.png"), 3, "zz.png"),
        (("--report", "/nowhere/x.html"), 3, "/nowhere/x.html"),
    ],
)
def test_mistakes_have_one_line_and_the_documented_code(
    good: Path,
    tmp_path: Path,
    options: tuple[object, ...],
    code: int,
    named: str,
) -> None:
    result = run(
        "calibrate", DEMO_BUNDLE, good, "-o", tmp_path / "x.recipe", "--threads", 1, *options
    )
    assert result.exit_code == code, result.output
    errors = [line for line in result.stderr.splitlines() if "error" in line]
    assert len(errors) == 1
    assert named in errors[0]
    assert not (tmp_path / "x.recipe").exists()


def test_bad_good_images_have_their_sentence_and_code(good: Path, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "x.recipe", *LOOSE)
    ten, same, broken = (tmp_path / name for name in ("ten", "same", "broken"))
    for folder in (ten, same, broken):
        folder.mkdir()
    for number, path in enumerate(sorted(good.iterdir())[:10]):
        (ten / path.name).write_bytes(path.read_bytes())
        (same / path.name).write_bytes((good / "00.png").read_bytes())
        (broken / path.name).write_bytes(path.read_bytes() if number else b"text")
    for folder, code, sentence in (
        (ten, 6, "10 good images cannot support"),
        (same, 3, "all 10 good images are the same picture"),
        (broken, 3, "00.png"),
    ):
        result = run("calibrate", DEMO_BUNDLE, folder, *out)
        assert result.exit_code == code, result.output
        assert sentence in result.stderr
        assert not (tmp_path / "x.recipe").exists()


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)


def test_the_page_holds_everything_and_asks_nobody(made: tuple[Path, Result]) -> None:
    page = made[0].with_suffix(".html").read_text()
    tags = _Tags(page).names
    assert tags.count("svg") == 4  # histogram and tail, of score and heat map
    assert tags.count("img") == 2 * 6
    assert not {"script", "iframe", "object", "form"} & set(tags)
    assert not re.search(r"https?://|url\(|@import", page)
    assert "<b>me</b>" not in page
    for sentence in (
        "What to do next", "Good images nearest the limit", "defects found", "Labelled pictures"
    ):  # fmt: skip
        assert sentence in page


def test_labelled_pictures_are_judged_by_limits_made_without_them(
    made: tuple[Path, Result],
) -> None:
    record = json.loads(made[1].stdout)
    assert (record["chosen_by"], record["costs"]) == ("good images", None)
    left_out, written = record["labelled"]["left_out"], record["labelled"]["written"]
    assert left_out["found"] == written["found"]
    assert left_out["found"]["images"] == 3
    assert left_out["false_alarms"]["images"] == record["distinct_images"]
    assert left_out["false_alarms"]["count"] >= written["false_alarms"]["count"]
    assert left_out["precision"]["confidence"] == 0.95


def test_limits_by_costs_are_named_as_such_beside_those_of_good_images(
    made: tuple[Path, Result], good: Path, bad: Path, tmp_path: Path
) -> None:
    path, page = tmp_path / "dear.recipe", tmp_path / "dear.html"
    costs = ("--cost-miss", 200, "--prevalence", 0.2, "--cost-false-alarm", 2)
    options = ("--defects", bad, *costs, "--report", page)
    result = run("calibrate", DEMO_BUNDLE, good, "-o", path, *LOOSE, *options, "--product", "part")
    assert result.exit_code == 0, result.output
    assert "limits chosen by costs on labelled images" in result.stdout
    assert "flatter themselves" in result.stdout
    recipe, plain = read_recipe(path), read_recipe(made[0])
    assert recipe.thresholds.costs is not None
    assert recipe.thresholds.costs.miss == 200
    assert recipe.thresholds.costs.false_alarm == 2
    assert recipe.thresholds.score is not None
    assert plain.thresholds.score is not None
    assert recipe.thresholds.score.kind == "cost"
    assert recipe.thresholds.score.good_ng == plain.thresholds.score.ng
    assert recipe.thresholds.score.interval == plain.thresholds.score.interval
    assert recipe.thresholds.score.false_alarms[1] > plain.thresholds.score.false_alarms[1]
    record = json.loads(page.with_suffix(".json").read_text())
    assert record["chosen_by"] == "costs"
    assert record["labelled"]["cost"] > 0
    assert record["labelled"]["written"]["found"]["count"] == 3  # a miss is dearer than all alarms
    for sentence in ("Limits by costs", "lowest expected cost", "flatter themselves"):
        assert sentence in page.read_text()
    judged = run("predict", DEMO_BUNDLE, bad, "--recipe", path, "--json", "--threads", 1)
    assert [json.loads(line)["verdict"] for line in judged.stdout.splitlines()] == ["NG"] * 3
    compared = run("calibrate", "--compare", made[0], path, "--json")
    assert json.loads(compared.stdout)["chosen_by"] == {"old": "good images", "new": "costs"}


def test_pictures_that_repeat_one_another_count_once_and_are_named(
    good: Path, tmp_path: Path
) -> None:
    folder, path, page = tmp_path / "copies", tmp_path / "x.recipe", tmp_path / "x.html"
    folder.mkdir()
    for image in sorted(good.iterdir()):
        for copy in ("a", "b"):
            (folder / f"{image.stem}{copy}.png").write_bytes(image.read_bytes())
    result = run("calibrate", DEMO_BUNDLE, folder, "-o", path, "--threads", 1, "--report", page)
    assert result.exit_code == 0, result.output
    record = json.loads(page.with_suffix(".json").read_text())
    assert (record["images"], record["distinct_images"]) == (2 * COUNT, COUNT)
    assert record["limits"]["score"]["images"] == COUNT
    assert record["limits"]["score"]["rate"] == pytest.approx(0.0951, abs=1e-4)
    assert ["07a.png", "07b.png"] in record["repeated"]
    assert "07a.png = 07b.png" in page.read_text()
    assert any("0.0951, the smallest that 48" in warning for warning in record["warnings"])
    assert read_recipe(path).summary.scores["images"] == COUNT
    assert run(
        "calibrate", DEMO_BUNDLE, folder, "-o", tmp_path / "y.recipe", "--threads", 1,
        "--rate", 0.001,
    ).exit_code == 6  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(browser.find() is None, reason="no Chromium on this machine")
def test_a_browser_shows_the_page_without_complaint(
    made: tuple[Path, Result], tmp_path: Path
) -> None:
    page = made[0].with_suffix(".html")
    seen = browser.visit(str(browser.find()), page, tmp_path / "profile")
    assert seen.complaints == []
    assert [url for url in seen.requests if not url.startswith("data:")] == [page.as_uri()]
    assert all(done and natural and shown for done, natural, shown, _ in seen.images)
    assert seen.overflow == 0
