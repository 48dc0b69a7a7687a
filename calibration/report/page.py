"""The page of a calibration: one HTML file that asks nothing of any server."""

from collections.abc import Sequence
from html import escape

import numpy as np

from vipx import __version__
from vipx.calibration.calibrate import Calibration
from vipx.calibration.limits import joint_false_alarms
from vipx.calibration.report.charts import STYLE, histogram, tail_plot
from vipx.calibration.report.labels import labels_html
from vipx.calibration.report.plates import Plate, plate_html
from vipx.calibration.report.record import advice, limits_of, repeated, warnings_of
from vipx.calibration.stress.rows import StressRow
from vipx.calibration.thresholds.shares import Share
from vipx.recipe import CostsRecord, FoldRecord, LimitRecord
from vipx.webpage import document, table


def calibration_page(result: Calibration, plates: Sequence[Plate]) -> str:
    """Lay out everything that a person needs to trust a recipe or not."""
    recipe = result.recipe
    title = f"Calibration of {recipe.product}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        _origin(result),
        _tiles(result),
        *(f'<p class="note">{escape(text)}</p>' for text in warnings_of(result)),
        "<h2>What to do next</h2>",
        "<ol>" + "".join(f"<li>{escape(text)}</li>" for text in advice(result)) + "</ol>",
        "<h2>Limits</h2>",
        _limits(result),
        f'<div class="charts">{_charts(result)}</div>',
        "<h2>Good images nearest the limit</h2>",
        f'<div class="plates">{"".join(map(plate_html, plates))}</div>',
    ]
    if result.labelled:
        parts += ["<h2>Labelled pictures</h2>", labels_html(result.labelled, recipe.thresholds)]
    if repeated(result):
        parts += ["<h2>Pictures that repeat one another</h2>", _repeated(repeated(result))]
    if recipe.fold:
        parts += ["<h2>Folded prompts</h2>", _fold(recipe.fold)]
    if result.stress:
        parts += ["<h2>Stress</h2>", _stress(result.stress)]
    return document(title, "\n".join(parts), STYLE)


def _origin(result: Calibration) -> str:
    recipe = result.recipe
    engine = recipe.engine
    return (
        f"<p>Recipe <code>{recipe.sha256[:16]}</code> for the bundle {escape(recipe.bundle.name)} "
        f"<code>{recipe.bundle.identity[:16]}</code>, measured with {escape(engine.engine)} "
        f"{escape(engine.version)} on {escape(engine.device)}, {engine.precision}; by "
        f"{escape(recipe.made.author)} at {escape(recipe.made.created)}, vipx {__version__}.</p>"
    )


def _tiles(result: Calibration) -> str:
    recipe = result.recipe
    lower, upper = joint_false_alarms(recipe.thresholds)
    tiles = [
        (f"{recipe.images.count}", f"good images, {recipe.images.distinct} of them different"),
        (
            f"{100 * lower:.2g} to {100 * upper:.2g} %",
            "of good parts NG, with the confidence stated below",
        ),
    ]
    if result.labelled:
        found = result.labelled.left_out.found
        tiles.append((f"{100 * (found.value or 0):.0f} %", f"defects found: {found.text}"))
        tiles.append((f"{100 * result.labelled.auroc:.1f}", "AUROC of the score"))
    cells = "".join(f"<li><strong>{a}</strong><small>{escape(b)}</small></li>" for a, b in tiles)
    return f'<ul class="tiles">{cells}</ul>'


def _limits(result: Calibration) -> str:
    header = ("number", "NG from", "REVIEW from", "good images alone: NG from", "rate", "confidence",
              "interval of that", "false alarms", "images", "kind")  # fmt: skip
    rows = [_limit_row(name, limit) for name, limit in limits_of(result.recipe)]
    area, costs = result.recipe.thresholds.minimal_area, result.recipe.thresholds.costs
    where = "the region" if result.recipe.region else "the whole image"
    note = (
        f"<p>A part is NG where its score reaches the limit, or {area} px of the heat map in {where} do; "
        "REVIEW between the limits. Each statement holds with its own confidence.</p>"
    )
    title = "Limits from good images alone" if costs is None else "Limits by costs"
    return note + ("" if costs is None else _costs(costs)) + table(title, header, rows)


def _costs(costs: CostsRecord) -> str:
    return (
        f"<p>Chosen so that mistakes cost least: {costs.miss:g} for a defective part that is not NG, "
        f"{costs.false_alarm:g} for a good one that is, {costs.prevalence:.3g} of the parts defective; "
        f"{costs.defects} different defective images. The good images' limits, moved by {costs.shift:+.2f} "
        "log odds. What good images alone say stands beside; false alarms are bounded for whichever limit "
        "the labels might have chosen.</p>"
    )


def _limit_row(name: str, limit: LimitRecord) -> str:
    kinds = {"order": "order statistic", "tail": "fitted tail", "cost": "lowest expected cost"}
    cells = (
        f"{limit.ng:.4f}",
        f"{limit.review:.4f}",
        f"{limit.good_ng:.4f}",
        f"{limit.rate:.2%}",
        f"{limit.confidence:.0%}",
        f"{limit.interval[0]:.4f} to {limit.interval[1]:.4f}",
        f"{limit.false_alarms[0]:.2%} to {limit.false_alarms[1]:.2%}",
        str(limit.images),
        kinds[limit.kind],
    )
    return _row(name, cells)


def _repeated(groups: Sequence[Sequence[str]]) -> str:
    names = (" = ".join(each) for each in groups)
    items = "".join(f"<li>{escape(each)}</li>" for each in names)
    return f"<p>Each line counts as one picture, by its highest numbers.</p><ul>{items}</ul>"


def _charts(result: Calibration) -> str:
    charts = []
    for name, limit in limits_of(result.recipe):
        field = "score" if name == "score" else "level"
        good, bad = (
            np.array([getattr(one, field) for one in each], dtype=np.float64)
            for each in (result.good, result.defects)
        )
        charts += [histogram(name, good, bad, limit), tail_plot(name, good, limit)]
    return "".join(charts)


def _fold(fold: FoldRecord) -> str:
    rank = "undefined" if fold.rank_correlation is None else f"{fold.rank_correlation:.4f}"
    rows = [
        _row("images averaged", (str(fold.images),)),
        _row("smallest cosine of an image's own text direction", (f"{fold.smallest_cosine:.5f}",)),
        _row("largest score difference", (f"{fold.score_difference:.2e}",)),
        _row("largest heat map difference", (f"{fold.map_difference:.2e}",)),
        _row("rank correlation of the scores", (rank,)),
        _row("prompts graph that no image needs any more", (f"{fold.milliseconds:.2f} ms",)),
        _row("graph that is no longer loaded", (f"{fold.graph_bytes / 2**20:.1f} MiB",)),
    ]
    if fold.auroc:
        rows.append(_row("AUROC, exact and folded", (f"{fold.auroc[0]:.4f}, {fold.auroc[1]:.4f}",)))
    return table("Exact prompts against folded ones, on the good images", ("", "value"), rows)


def _stress(rows: Sequence[StressRow]) -> str:
    header = ("change", "amount", "NG", "95 % interval", "REVIEW", "median change of the score")
    lines = [
        _row(
            row.name,
            (
                row.amount,
                f"{row.ng.count} of {row.ng.images}",
                _interval(row.ng),
                str(row.review),
                f"{row.score_shift:+.4f}",
            ),
        )
        for row in rows
    ]
    note = "<p>Each change alone, on the images that made the limits: the first row therefore flatters.</p>"
    return note + table("Good images that are NG under changes of the camera", header, lines)


def _interval(share: Share) -> str:
    return f"{100 * share.lower:.1f} to {100 * share.upper:.1f} %"


def _row(name: str, cells: Sequence[str]) -> str:
    inside = "".join(f'<td class="number">{escape(cell)}</td>' for cell in cells)
    return f'<tr><th scope="row">{escape(name)}</th>{inside}</tr>'
