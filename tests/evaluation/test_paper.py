"""The paper's tables as data: complete, consistent with their own averages, and with their source."""

import json
from importlib.resources import files

import numpy as np
import pytest

from vipx.evaluation.paper import paper_rows
from vipx.evaluation.results import METRICS
from vipx.training.data.open import DATASETS

TABLES = [f"table{number}.json" for number in range(1, 7)]
# Named in the table's own note.
INCONSISTENT = {("WinCLIP", name) for name in ("image_auroc", "image_ap", "pixel_auroc", "aupro")}
OWN_LAYOUTS = {"csv", "folders", "meta"}


def table(name: str) -> dict[str, object]:
    text = files("vipx.evaluation.paper").joinpath(name).read_text()
    loaded: dict[str, object] = json.loads(text)
    return loaded


@pytest.mark.parametrize("name", TABLES)
def test_every_table_names_its_source(name: str) -> None:
    assert table(name)["source"] == "arXiv 2505.17692"
    assert table(name)["rows"]


@pytest.mark.parametrize("dataset", sorted(set(DATASETS) - OWN_LAYOUTS))
def test_each_of_the_fifteen_datasets_has_six_methods(dataset: str) -> None:
    rows = paper_rows(dataset)
    assert len(rows) == 6
    for row in rows:
        assert "2505.17692" in row.source
        values = [getattr(row.metrics, name) for name in METRICS]
        assert any(value is not None for value in values)


def test_datasets_of_nobody_have_no_figures() -> None:
    assert paper_rows("folders") == ()


@pytest.mark.parametrize("name", TABLES[:2])
@pytest.mark.parametrize("level", ["image", "pixel"])
def test_the_printed_averages_are_those_of_the_rows(name: str, level: str) -> None:
    rows = table(name)["rows"]
    assert isinstance(rows, list)
    metrics = METRICS[:3] if level == "image" else METRICS[3:]
    averages = [row for row in rows if row["shown"] == f"average ({level})"]
    assert len(averages) == 6
    for average in averages:
        for metric in metrics:
            values = [
                row[metric]
                for row in rows
                if row["method"] == average["method"] and row["dataset"] and metric in row
            ]
            # The rows are rounded to 0.05 each, and so is their average.
            fits = abs(np.mean(values) - average[metric]) <= 0.1001
            assert fits == (
                name != "table1.json" or (average["method"], metric) not in INCONSISTENT
            )
