"""Evaluates a model on a dataset, one category after the other."""

from dataclasses import dataclass
from datetime import datetime, timezone
from statistics import median

from vipx import __version__
from vipx.evaluation.categories import Report, evaluate_category
from vipx.evaluation.predictors import Predictor
from vipx.evaluation.report.evaluation_page import CategoryView
from vipx.evaluation.results import Results, mean_of
from vipx.evaluation.sources import Source
from vipx.training.metrics import AuproMode


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The record of an evaluation, and what its report shows besides."""

    results: Results
    views: tuple[CategoryView, ...]


def evaluate(predictor: Predictor, source: Source, mode: AuproMode, report: Report) -> Evaluation:
    """Evaluate category after category; memory is bounded by the largest one.

    Raises:
        InputError: A picture or mask cannot be read.
        EngineError: The engine failed.
    """
    outcomes = tuple(
        evaluate_category(predictor, cases, mode, report) for cases in source.by_category().values()
    )
    categories = tuple(outcome.view.record for outcome in outcomes)
    results = Results(
        vipx_version=__version__,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        model=predictor.record,
        data=source.record,
        aupro_mode=mode,
        categories=categories,
        mean=mean_of(categories),
        median_milliseconds=median(ms for outcome in outcomes for ms in outcome.milliseconds),
        images=tuple(image for outcome in outcomes for image in outcome.images),
    )
    return Evaluation(results, tuple(outcome.view for outcome in outcomes))
