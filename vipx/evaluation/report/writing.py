"""Writes what was found into a new folder: records for programs, a page for people."""

from pathlib import Path

from vipx.evaluation.comparison import Comparison
from vipx.evaluation.evaluation import Evaluation
from vipx.evaluation.report.comparison_page import comparison_page
from vipx.evaluation.report.evaluation_page import evaluation_page
from vipx.evaluation.results import Results, write_results
from vipx.folders import whole_folder

__all__ = ["COMPARISON", "REPORT", "write_comparison", "write_evaluation"]

REPORT = "report.html"
COMPARISON = "comparison.json"


def write_evaluation(path: Path, evaluation: Evaluation, *, overwrite: bool = False) -> None:
    """Write records and report of an evaluation, whole or not at all.

    Raises:
        UsageError: `path` exists, and `overwrite` is false.
        InputError: The place is not allowed.
        ResourceError: The disk is full.
    """
    with whole_folder(path, overwrite=overwrite) as folder:
        write_results(folder, evaluation.results)
        page = evaluation_page(evaluation.results, evaluation.views)
        (folder / REPORT).write_text(page, encoding="utf-8")


def write_comparison(
    path: Path, comparison: Comparison, runs: tuple[Results, Results], *, overwrite: bool = False
) -> None:
    """Write record and report of a comparison, whole or not at all.

    Raises:
        UsageError: `path` exists, and `overwrite` is false.
        InputError: The place is not allowed.
        ResourceError: The disk is full.
    """
    with whole_folder(path, overwrite=overwrite) as folder:
        text = comparison.model_dump_json(indent=2) + "\n"
        (folder / COMPARISON).write_text(text, encoding="utf-8")
        (folder / REPORT).write_text(comparison_page(comparison, *runs), encoding="utf-8")
