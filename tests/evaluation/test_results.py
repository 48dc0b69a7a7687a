"""Results: read back as written, a row for each category, and every strange file told in one line."""

import csv
from pathlib import Path

import pytest

from tests.evaluation.fakes import Brightness, write_tree
from vipx.errors import InputError, UsageError
from vipx.evaluation.evaluation import Evaluation, evaluate
from vipx.evaluation.report.writing import write_evaluation
from vipx.evaluation.results import METRICS, read_results
from vipx.evaluation.sources import DataChoice, open_source


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    root = write_tree(tmp_path_factory.mktemp("tree"))
    source = open_source(DataChoice("mvtec", root))
    return evaluate(Brightness(), source, "official", lambda _: None)


def test_results_read_back_as_they_were_written(found: Evaluation, tmp_path: Path) -> None:
    write_evaluation(tmp_path / "run", found)
    assert read_results(tmp_path / "run") == found.results
    assert read_results(tmp_path / "run" / "results.json") == found.results


def test_tables_hold_every_category_and_every_score_in_full(
    found: Evaluation, tmp_path: Path
) -> None:
    write_evaluation(tmp_path / "run", found)
    with (tmp_path / "run/results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["category"] for row in rows] == ["bolt", "nut", "mean"]
    means = found.results.mean.metrics
    assert {name: float(rows[-1][name]) for name in METRICS} == means.model_dump()
    assert rows[-1]["good"] == "6"
    with (tmp_path / "run/images.csv").open(newline="") as file:
        images = list(csv.DictReader(file))
    assert [float(row["score"]) for row in images] == [i.score for i in found.results.images]


def test_a_folder_that_exists_is_kept_and_can_be_replaced(
    found: Evaluation, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(UsageError, match="already exists"):
        write_evaluation(tmp_path / "run", found)
    write_evaluation(tmp_path / "run", found, overwrite=True)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "images.csv",
        "report.html",
        "results.csv",
        "results.json",
    ]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1, 2]", b"no json", b'{"schema_version": 2, "kind": "x"}']
)
def test_what_is_no_result_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "results.json").write_bytes(content)
    with pytest.raises(InputError, match=r"results\.json: not results"):
        read_results(tmp_path)


def test_a_missing_result_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_results(tmp_path / "nowhere.json")
