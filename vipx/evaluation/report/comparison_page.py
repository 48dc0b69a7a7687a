"""The report of two evaluations side by side."""

from html import escape
from pathlib import Path

import numpy as np

from vipx.evaluation.comparison import (
    ComparedImage,
    Comparison,
    DifferenceRecord,
    ScoresRecord,
)
from vipx.evaluation.report.charts import Axes, scatter_chart
from vipx.evaluation.report.figures import TITLES, facts, figure_cells, headline
from vipx.evaluation.report.style import STYLE
from vipx.evaluation.results import METRICS, MetricsRecord, Results
from vipx.webpage import document, percent, table

MARKS_MOST = 1500
ROWS_MOST = 30


def comparison_page(comparison: Comparison, first: Results, second: Results) -> str:
    """Lay out the report of a comparison."""
    names = [escape(Path(run.model.path).name) for run in (first, second)]
    parts = [
        f"<header><h1>{names[0]} and {names[1]}</h1>",
        f'<p class="soft">A: {headline(first)}<br>B: {headline(second)}</p></header>',
        *(f'<p class="note">{escape(note)}</p>' for note in comparison.notes),
        _tiles(comparison),
        _metrics(comparison),
        _scores(comparison),
        _images(comparison),
        _facts(first, second),
    ]
    return document("vipx: two evaluations", "\n".join(parts), STYLE)


def _tiles(comparison: Comparison) -> str:
    """Show the differences of the means large."""
    tiles = []
    for name in METRICS:
        value = getattr(comparison.mean, name)
        where = "undefined" if value is None else "points, B minus A"
        tiles.append(
            f"<li>{TITLES[name]}<strong>{percent(value, signed=True)}</strong><small>{where}</small></li>"
        )
    return f'<ul class="tiles">{"".join(tiles)}</ul>'


def _metrics(comparison: Comparison) -> str:
    rows = []
    for each in comparison.categories:
        rows += _three(each.category, (each.first, each.second), each.difference)
    name = "mean of these" if len(comparison.categories) > 1 else "mean"
    rows += _three(name, comparison.means, comparison.mean)
    header = ["category", "run", *TITLES.values()]
    caption = "In percent; differences in points. - is undefined, or not comparable."
    return "<h2>Metrics</h2>" + table(caption, header, rows, numbers_from=2)


def _three(
    name: str, runs: tuple[MetricsRecord, MetricsRecord], difference: DifferenceRecord
) -> list[str]:
    return [
        _row(name, "A", figure_cells(runs[0])),
        _row("", "B", figure_cells(runs[1])),
        _row("", "B minus A", _signed(difference), ' class="ours"'),
    ]


def _row(name: str, run: str, cells: str, kind: str = "") -> str:
    return f'<tr{kind}><th scope="row">{escape(name)}</th><td>{run}</td>{cells}</tr>'


def _signed(difference: DifferenceRecord) -> str:
    cells = (percent(getattr(difference, name), signed=True) for name in METRICS)
    return "".join(f'<td class="number">{cell}</td>' for cell in cells)


def _scores(comparison: Comparison) -> str:
    rows = [_score_row("all", comparison.scores, ' class="ours"')]
    rows += [_score_row(each.category, each.scores) for each in comparison.categories]
    header = [
        "category",
        "pictures in both",
        "largest difference",
        "mean difference",
        "rank correlation",
    ]
    caption = "Absolute differences of the scores of the same picture; Spearman's correlation of their ranks."
    return (
        "<h2>Scores</h2>"
        f'<div class="charts">{_scatter(comparison)}</div>{table(caption, header, rows)}'
    )


def _score_row(name: str, scores: ScoresRecord, kind: str = "") -> str:
    rank = scores.rank_correlation
    shown = '<span title="undefined">-</span>' if rank is None else f"{rank:.4f}"
    figures = [str(scores.images), f"{scores.most:.2g}", f"{scores.mean:.2g}", shown]
    cells = "".join(f'<td class="number">{figure}</td>' for figure in figures)
    return f'<tr{kind}><th scope="row">{escape(name)}</th>{cells}</tr>'


def _scatter(comparison: Comparison) -> str:
    """Mark at most 1500 pictures, spread evenly."""
    count = len(comparison.images)
    places = np.unique(np.linspace(0, count - 1, min(count, MARKS_MOST)).astype(int))
    shown = [comparison.images[place] for place in places]
    first, second = np.array([i.first for i in shown]), np.array([i.second for i in shown])
    low, high = float(min(first.min(), second.min())), float(max(first.max(), second.max()))
    bounds = (low, high) if low < high else (low - 0.5, high + 0.5)
    axes = Axes("Score of each picture", "score in A", "score in B", bounds, bounds)
    rank = comparison.scores.rank_correlation
    summary = "rank correlation " + ("undefined" if rank is None else f"{rank:.4f}")
    defective = np.array([image.defect is not None for image in shown])
    return scatter_chart(axes, first, second, defective, summary=summary)


def _images(comparison: Comparison) -> str:
    ranked = sorted(comparison.images, key=lambda image: -abs(image.second - image.first))
    apart = [image for image in ranked if image.first != image.second]
    if not apart:
        return f"<h2>Pictures</h2><p>All {len(ranked)} scores are equal to the last bit.</p>"
    rows = [_image_row(image) for image in apart[:ROWS_MOST]]
    header = ["picture", "kind", "A", "B", "B minus A"]
    shown = f"The {len(rows)} pictures whose scores differ most, of {len(apart)} that differ."
    return "<h2>Pictures</h2>" + table(shown, header, rows, numbers_from=2)


def _image_row(image: ComparedImage) -> str:
    figures = [f"{image.first:.4f}", f"{image.second:.4f}", f"{image.second - image.first:+.2g}"]
    cells = "".join(f'<td class="number">{figure}</td>' for figure in figures)
    kind = escape(image.defect or "good")
    return f'<tr><td class="text">{escape(image.image)}</td><td>{kind}</td>{cells}</tr>'


def _facts(first: Results, second: Results) -> str:
    rows = [
        f'<tr><th scope="row">{escape(name if name == other else "model")}</th>'
        f'<td class="text">{escape(a)}</td><td class="text">{escape(b)}</td></tr>'
        for (name, a), (other, b) in zip(facts(first), facts(second), strict=True)
    ]
    caption = "The two runs."
    return "<h2>How these were made</h2>" + table(caption, ["what", "A", "B"], rows, numbers_from=3)
