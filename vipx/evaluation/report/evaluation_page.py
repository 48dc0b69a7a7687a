"""The report of one evaluation: figures, the paper's beside them, curves and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from vipx.evaluation.curves import CategoryCurves
from vipx.evaluation.paper import METHODS, PaperRow, paper_rows
from vipx.evaluation.report.charts import Axes, Series, histogram_chart, line_chart
from vipx.evaluation.report.figures import TITLES, facts, figure_cells, headline, meter_cells
from vipx.evaluation.report.plates import Plate, plate_html
from vipx.evaluation.report.style import STYLE
from vipx.evaluation.results import METRICS, CategoryRecord, Results
from vipx.training.metrics import FPR_LIMIT
from vipx.webpage import document, percent, table

__all__ = ["CategoryView", "evaluation_page"]

PLATES_MOST = 96
PLATES_A_CATEGORY = 4


@dataclass(frozen=True, slots=True)
class CategoryView:
    """What the report shows of one category."""

    record: CategoryRecord
    curves: CategoryCurves
    plates: tuple[Plate, ...]


def evaluation_page(results: Results, views: Sequence[CategoryView]) -> str:
    """Lay out the report of one evaluation."""
    each = max(1, min(PLATES_A_CATEGORY, PLATES_MOST // len(views)))
    sections = [
        _section(place, view, each if place < PLATES_MOST else 0)
        for place, view in enumerate(views)
    ]
    parts = [
        f"<header><h1>Evaluation of {escape(Path(results.model.path).name)}</h1>",
        f'<p class="soft">{headline(results)}</p></header>',
        _notes(results),
        _tiles(results),
        _category_table(results),
        _paper(results),
        _links(views),
        *sections,
        _facts(results),
    ]
    return document(
        f"vipx: {results.model.method} on {results.data.dataset}", "\n".join(parts), STYLE
    )


def _notes(results: Results) -> str:
    notes = []
    if results.data.limit is not None:
        notes.append(f"Only {results.data.limit} pictures of a category at most were evaluated.")
    if results.data.left_out:
        notes.append(f"{results.data.left_out} files cannot be used and were left out.")
    return "".join(f'<p class="note">{note}</p>' for note in notes)


def _tiles(results: Results) -> str:
    """Show the means large."""
    tiles = []
    for name in METRICS:
        value = getattr(results.mean.metrics, name)
        count = getattr(results.mean.defined, name)
        unit = "" if value is None else "&thinsp;%"
        of = f"mean of {count}" if len(results.categories) > 1 else "one category"
        where = of if value is not None else "undefined: one class, or no masks"
        tiles.append(
            f"<li>{TITLES[name]}<strong>{percent(value)}{unit}</strong><small>{where}</small></li>"
        )
    return f'<ul class="tiles">{"".join(tiles)}</ul>'


def _category_table(results: Results) -> str:
    header = ["category", "good", "defective", "with pixel truth", *TITLES.values()]
    rows = [
        f'<tr><th scope="row"><a href="#category-{place}">{escape(c.category)}</a></th>'
        f"{_counts(c.good, c.anomalous, c.masked)}{meter_cells(c.metrics)}</tr>"
        for place, c in enumerate(results.categories)
    ]
    totals = _counts(
        *(sum(getattr(c, k) for c in results.categories) for k in ("good", "anomalous", "masked"))
    )
    rows.append(
        f'<tr class="total"><th scope="row">mean</th>{totals}{figure_cells(results.mean.metrics)}</tr>'
    )
    caption = (
        "In percent. The mean is over the categories in which a metric is defined; - is undefined."
    )
    return "<h2>Categories</h2>" + table(caption, header, rows)


def _counts(*counts: int) -> str:
    return "".join(f'<td class="number">{count}</td>' for count in counts)


def _paper(results: Results) -> str:
    """Set the mean beside the paper's figures on this dataset, if it has any."""
    rows = paper_rows(results.data.dataset)
    if not rows:
        return ""
    ours = f"this run ({results.model.method})"
    lines = [
        f'<tr class="ours"><th scope="row">{escape(ours)}</th>{figure_cells(results.mean.metrics)}</tr>'
    ]
    name = METHODS.get(results.model.method)
    for row in rows:
        lines.append(
            f'<tr><th scope="row">{escape(row.method)}</th>{figure_cells(row.metrics)}</tr>'
        )
        if row.method == name:
            lines.append(_difference(results, row))
    first = rows[0]
    caveat = _caveat(results, first)
    caption = f"In percent, means over {first.categories} categories. Source: {first.source}."
    return (
        f"<h2>Beside the paper: {escape(first.shown)}</h2>"
        + table(caption, ["method", *TITLES.values()], lines)
        + f'<p class="note">{escape(caveat)}</p>'
    )


def _difference(results: Results, row: PaperRow) -> str:
    cells = []
    for name in METRICS:
        ours, theirs = getattr(results.mean.metrics, name), getattr(row.metrics, name)
        known = None if ours is None or theirs is None else ours - theirs
        cells.append(f'<td class="number">{percent(known, signed=True)}</td>')
    return f'<tr class="ours"><th scope="row">this run minus {escape(row.method)}</th>{"".join(cells)}</tr>'


def _caveat(results: Results, row: PaperRow) -> str:
    """Say why the paper's figures are not this run's to claim."""
    sentences = [
        "The other rows are quoted from the paper and were not measured here: they were made with the "
        f"authors' weights ({row.protocol}), which are not those of this run. They hold for {row.shown} "
        "itself, which vipx knows by the layout of its folders alone."
    ]
    if len(results.categories) != row.categories:
        sentences.append(
            f"This run covers {len(results.categories)} of {row.categories} categories."
        )
    if results.data.limit is not None:
        sentences.append("This run took a part of the pictures only.")
    if results.aupro_mode == "exact":
        sentences.append("Its AUPRO is the exact one, the paper's has 200 thresholds.")
    return " ".join(sentences)


def _links(views: Sequence[CategoryView]) -> str:
    if len(views) < 3:
        return ""
    links = "".join(
        f'<a href="#category-{place}">{escape(view.record.category)}</a>'
        for place, view in enumerate(views)
    )
    return f'<h2>Curves and pictures</h2><nav aria-label="categories">{links}</nav>'


def _section(place: int, view: CategoryView, plates: int) -> str:
    record = view.record
    shown = "".join(plate_html(plate) for plate in view.plates[:plates])
    pictures = f'<div class="plates">{shown}</div>' if shown else ""
    return (
        f'<section id="category-{place}"><h2>{escape(record.category)}</h2>'
        f'<p class="soft">{record.good} good and {record.anomalous} defective pictures. Heat maps run from '
        "the lowest to the highest value of the category.</p>"
        f'<div class="charts">{_charts(view)}</div>{pictures}</section>'
    )


def _charts(view: CategoryView) -> str:
    curves, metrics = view.curves, view.record.metrics
    roc = Axes("ROC", "false positive rate", "true positive rate")
    pr = Axes("Precision and recall", "recall", "precision")
    pro = Axes("PRO", "false positive rate of pixels", "overlap of regions", (0.0, FPR_LIMIT))
    return "".join(
        [
            line_chart(
                roc,
                [Series("images", curves.image_roc), Series("pixels", curves.pixel_roc)],
                summary=f"AUROC of images {_told(metrics.image_auroc)}, of pixels {_told(metrics.pixel_auroc)}",
            ),
            line_chart(
                pr,
                [Series("images", curves.image_pr), Series("pixels", curves.pixel_pr)],
                summary=f"average precision of images {_told(metrics.image_ap)}",
            ),
            line_chart(
                pro, [Series("regions", curves.pro)], summary=f"AUPRO {_told(metrics.aupro)}"
            ),
            histogram_chart(
                curves.histogram,
                summary=f"{view.record.good} good and {view.record.anomalous} defective images",
            ),
        ]
    )


def _told(value: float | None) -> str:
    return "undefined" if value is None else f"{100 * value:.1f} percent"


def _facts(results: Results) -> str:
    rows = [
        f'<tr><th scope="row">{escape(name)}</th><td class="text">{escape(value)}</td></tr>'
        for name, value in facts(results)
    ]
    header, caption = ["what", "value"], "Every figure can be computed again from results.json."
    return "<h2>How this was made</h2>" + table(caption, header, rows, numbers_from=2)
