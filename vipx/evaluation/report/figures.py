"""What both pages show alike: the metrics' names, rows of figures, and the model's identity."""

from html import escape
from pathlib import Path

from vipx.evaluation.results import METRICS, MetricsRecord, Results
from vipx.webpage import percent

__all__ = ["TITLES", "facts", "figure_cells", "headline", "meter_cells"]

TITLES = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1": "image max-F1",
    "pixel_auroc": "pixel AUROC",
    "pixel_f1": "pixel max-F1",
    "aupro": "AUPRO",
}


def figure_cells(metrics: MetricsRecord) -> str:
    """Lay out the six metrics as cells of a row."""
    return "".join(f'<td class="number">{percent(getattr(metrics, name))}</td>' for name in METRICS)


def meter_cells(metrics: MetricsRecord) -> str:
    """Lay out the six metrics as cells with a bar behind the figure."""
    cells = []
    for name in METRICS:
        value = getattr(metrics, name)
        share = 0.0 if value is None else 100 * value
        cells.append(f'<td class="number meter" style="--share:{share:.1f}%">{percent(value)}</td>')
    return "".join(cells)


def headline(results: Results) -> str:
    """Say in one line what was evaluated on what."""
    model, data = results.model, results.data
    count, categories = len(results.images), len(results.categories)
    return escape(
        f"{model.method}, {model.kind} {Path(model.path).name}, on {data.dataset}: "
        f"{count} pictures in {categories} {'category' if categories == 1 else 'categories'}"
    )


def facts(results: Results) -> list[tuple[str, str]]:
    """List how an evaluation was made, name by name, as plain text."""
    model, data = results.model, results.data
    limit = "all pictures" if data.limit is None else f"at most {data.limit} pictures a category"
    return [
        (model.kind, model.path),
        ("sha256", model.sha256),
        ("method", model.method),
        ("backbone", f"{model.backbone}, sha256 {model.backbone_sha256}"),
        ("input", f"{model.height} x {model.width} px (height x width)"),
        ("computed by", f"{model.engine} on {model.device}, {model.precision}"),
        ("median time a picture", f"{results.median_milliseconds:.1f} ms for the model alone"),
        ("dataset", f"{data.dataset}, split {data.split}, {limit}"),
        ("root", data.root or "drawn by vipx"),
        ("files left out as unusable", str(data.left_out)),
        ("AUPRO", _AUPRO[results.aupro_mode]),
        ("written", f"{results.created} by vipx {results.vipx_version}"),
    ]


_AUPRO = {
    "official": "200 thresholds, false positive rates below 0.3 stretched to [0, 1], as published",
    "exact": "every threshold, interpolated at a false positive rate of 0.3",
}
