"""What an ablation came to: one row for each run, beside the paper's where it prints one."""

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from vipx.training.metrics import Metrics

FIGURES = ("image_auroc", "image_ap", "image_f1", "pixel_auroc", "aupro", "pixel_f1")

Percent = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """A row's figures in percent, means over categories.

    Attributes:
        name: The row's.
        changes: Settings that it changes.
        percent: What was measured; empty where the row could not run.
        paper: What the paper prints, which was reached with other weights; empty where it does not.
        reason: Why the row could not run; empty if it did.
    """

    name: str
    changes: Mapping[str, JsonValue]
    percent: Percent
    paper: Percent
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AblationTable:
    """All rows of an ablation, measured on one dataset."""

    name: str
    dataset: str
    folder: Path
    rows: tuple[MeasuredRow, ...]

    def record(self) -> dict[str, Any]:
        """Give the table as plain data."""
        return {
            "ablation": self.name,
            "dataset": self.dataset,
            "folder": str(self.folder),
            "rows": [asdict(row) for row in self.rows],
        }

    def text(self) -> str:
        """Give the table as CSV."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["row", *FIGURES, *(f"paper_{name}" for name in FIGURES), "reason"])
        for row in self.rows:
            found = [part.get(name) for part in (row.percent, row.paper) for name in FIGURES]
            cells = ["" if value is None else f"{value:.2f}" for value in found]
            writer.writerow([row.name, *cells, row.reason])
        return text.getvalue()


def percent_from(metrics: Metrics) -> Percent:
    """Give the figures that the paper's tables hold, in percent."""
    shares = metrics.record("official")
    return {name: None if (v := shares[name]) is None else 100 * v for name in FIGURES}
