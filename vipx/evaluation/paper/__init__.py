"""The tables of the ViP2-CLIP paper as data, each file with its source; figures in percent."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from vipx.evaluation.results import METRICS, MetricsRecord

__all__ = ["METHODS", "PaperRow", "paper_rows"]

# The paper's name of each method that vipx can evaluate and the paper compares.
METHODS = {"vip2clip": "ViP2-CLIP", "anomalyclip": "AnomalyCLIP", "winclip": "WinCLIP"}
_ACCURACY = ("table1.json", "table2.json")


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One method's figures on one dataset, as printed; `metrics` are in [0, 1].

    `source` names paper and table, `protocol` says how the figures were made.
    """

    dataset: str
    shown: str
    categories: int
    method: str
    metrics: MetricsRecord
    source: str
    protocol: str


@cache
def paper_rows(dataset: str) -> tuple[PaperRow, ...]:
    """Give all methods' figures on a dataset, by its name in vipx; none where the paper has none."""
    rows = []
    for name in _ACCURACY:
        table = json.loads(files(__package__).joinpath(name).read_text(encoding="utf-8"))
        rows += [_row(table, row) for row in table["rows"] if row["dataset"] == dataset]
    return tuple(rows)


def _row(table: dict[str, str], row: dict[str, str | float | None]) -> PaperRow:
    figures = {name: row.get(name) for name in METRICS}
    shares = {
        name: None if value is None else round(float(value) / 100, 6)
        for name, value in figures.items()
    }
    return PaperRow(
        dataset=str(row["dataset"]),
        shown=str(row["shown"]),
        categories=int(row["categories"] or 0),
        method=str(row["method"]),
        metrics=MetricsRecord(**shares),
        source=f"{table['paper']}, {table['source']}, {table['table']}",
        protocol=table["protocol"],
    )
