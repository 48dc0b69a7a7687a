"""`vipx metrics`: the metrics of any tool's results."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vipx.commands.options import AUPRO, JSON, PATH
from vipx.console import needs, print_json, print_tree

if TYPE_CHECKING:
    from vipx.training.metrics import AuproMode


@click.command()
@click.argument("file", type=PATH)
@AUPRO
@JSON
def metrics(file: Path, mode: "AuproMode", as_json: bool) -> None:
    """Score the arrays of FILE.npz: labels [n] and scores [n], masks [n,h,w] and maps [n,h,w].

    Labels and masks are 0 where good; of scores and maps more is more anomalous. Without labels and scores
    there are pixel metrics alone, without masks and maps image metrics alone. What the arrays leave
    undefined, such as an AUROC of one class, is null.
    """
    with needs("eval"):
        from vipx.evaluation.arrays import metrics_of_file

    record = metrics_of_file(file).record(mode)
    if as_json:
        print_json(record)
    else:
        print_tree({name: _shown(value) for name, value in record.items()})


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.6f}"
