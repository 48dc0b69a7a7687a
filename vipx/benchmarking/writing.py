"""Puts a sweep where people and programs find it."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from vipx.benchmarking.child import DataRequest
from vipx.benchmarking.page import sweep_page
from vipx.benchmarking.quoted import published_latency
from vipx.benchmarking.sweep import SweepRecord
from vipx.folders import whole_folder

SWEEP_JSON = "sweep.json"
SWEEP_HTML = "sweep.html"
_WIDTH = 120


def write_sweep(path: Path, record: SweepRecord, *, overwrite: bool) -> None:
    """Write the record and its page, whole or not at all.

    Raises:
        UsageError: `path` exists, and `overwrite` is false.
        ResourceError: The disk is full or read-only.
    """
    with whole_folder(path, overwrite=overwrite) as folder:
        text = record.model_dump_json(indent=2) + "\n"
        (folder / SWEEP_JSON).write_text(text, encoding="utf-8")
        (folder / SWEEP_HTML).write_text(sweep_page(record), encoding="utf-8")


def print_sweep(record: SweepRecord) -> None:
    """Print a line a cell, the reasons of those that were not measured, and the quoted figure."""
    console = Console()
    console = console if console.is_terminal else Console(width=_WIDTH)
    table = Table("bundle", "size", "cell", "p50 ms", "CV", "image AUROC", "best images/s", "")
    for one in record.outcomes:
        names = (one.bundle, f"{one.height}x{one.width}", one.name)
        if one.bench is None:
            table.add_row(*names, "-", "-", "-", "-", one.reason)
            continue
        total = one.bench.latency.stages["total"]
        share = None if one.accuracy is None else one.accuracy.image_auroc
        rates = [each.images_per_second or 0.0 for each in one.bench.throughput]
        figures = (f"{total.p50:.2f}", f"{total.cv:.1%}", "-" if share is None else f"{share:.2%}")
        table.add_row(*names, *figures, f"{max(rates, default=0.0):.2f}", one.reason or "")
    console.print(table)
    console.print(published_latency().line, soft_wrap=True, markup=False, highlight=False)


def checked_data(data: DataRequest | None) -> None:
    """Open the dataset once before anything is measured.

    Raises:
        UsageError: It is unknown, or its root is missing.
        InputError: The root is not in its layout.
    """
    if data is None:
        return
    from vipx.evaluation.sources import DataChoice, open_source

    root = None if data.root is None else Path(data.root)
    open_source(DataChoice(data.dataset, root, limit=data.limit))
