"""The page of a sweep: one HTML file from which a user chooses engine, precision and size."""

from html import escape

from vipx.benchmarking.cells import OutcomeRecord
from vipx.benchmarking.chart import STYLE, Point, bars, scatter
from vipx.benchmarking.quoted import published_latency
from vipx.benchmarking.sweep import SweepRecord
from vipx.webpage import document, percent, table

METRIC = "image AUROC"


def sweep_page(record: SweepRecord) -> str:
    """Lay out a sweep: chart, table, what could not be measured, and the machine."""
    measured = [one for one in record.outcomes if one.bench is not None]
    parts = [
        "<h1>Latency and accuracy on this machine</h1>",
        f'<p class="soft">vipx {escape(record.vipx_version)}, {escape(record.created)}</p>',
        _chart(measured),
        _figures(measured) if measured else "",
        _missing(record),
        _noise(measured),
        _machine(record),
        f'<h2>For orientation</h2><p class="note">{escape(published_latency().line)}</p>',
    ]
    return document("vipx bench --sweep", "\n".join(parts), STYLE)


def points(measured: list[OutcomeRecord]) -> list[Point]:
    """Place the measured cells; the size stands in the name where there are several."""
    sizes = {(one.height, one.width) for one in measured}
    found = []
    for one in measured:
        assert one.bench is not None, "only measured cells have a place"
        size = f", {one.height}x{one.width}" if len(sizes) > 1 else ""
        share = None if one.accuracy is None else one.accuracy.image_auroc
        total = one.bench.latency.stages["total"].p50
        value = None if share is None else 100 * share
        found.append(Point(one.name + size, one.engine or "", total, value))
    return found


def _chart(measured: list[OutcomeRecord]) -> str:
    if not measured:
        return '<p class="note">Nothing could be measured; the reasons stand below.</p>'
    placed = points(measured)
    if not any(point.percent is not None for point in placed):
        return f"<figure>{bars(placed)}</figure>"
    key = "circle: ONNX Runtime, square: OpenVINO, diamond: TensorRT; filled: nothing is faster and better"
    return (
        f"<figure>{scatter(placed, METRIC)}<figcaption><small>{key}</small></figcaption></figure>"
    )


def _figures(measured: list[OutcomeRecord]) -> str:
    batches = sorted({t.batch for one in measured if one.bench for t in one.bench.throughput})
    header = ["bundle", "size", "cell", METRIC, "pixel AUROC", "AUPRO", "p50 ms", "p99 ms", "CV",
              "peak MB", "load s", *(f"images/s, batch {b}" for b in batches)]  # fmt: skip
    rows = [_row(one, batches) for one in measured]
    return "<h2>Figures</h2>" + table(
        "measured here; accuracy in percent", header, rows, numbers_from=3
    )


def _row(one: OutcomeRecord, batches: list[int]) -> str:
    assert one.bench is not None, "only measured cells have a row"
    total, found = one.bench.latency.stages["total"], one.accuracy
    shares = (None,) * 3 if found is None else (found.image_auroc, found.pixel_auroc, found.aupro)
    rates = {each.batch: each for each in one.bench.throughput}
    peak, load = one.bench.memory.host_peak, one.bench.load
    numbers = [
        *(percent(share) for share in shares),
        f"{total.p50:.2f}",
        f"{total.p99:.2f}",
        f"{100 * total.cv:.1f} %",
        "-" if peak is None else f"{peak / 1e6:.0f}",
        f"{load.verify + load.open:.2f}",
        *(_rate(rates[b].images_per_second if b in rates else None) for b in batches),
    ]
    names = (one.bundle, f"{one.height}x{one.width}", one.name)
    cells = "".join(f"<td>{escape(name)}</td>" for name in names)
    return f"<tr>{cells}" + "".join(f'<td class="number">{n}</td>' for n in numbers) + "</tr>"


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _missing(record: SweepRecord) -> str:
    rows = [
        f"<tr><td>{escape(one.bundle)}</td><td>{escape(one.name)}</td><td>{escape(one.reason)}</td></tr>"
        for one in record.outcomes
        if one.reason
    ]
    rows += [
        f"<tr><td>{escape(one.bundle)}</td><td>{escape(one.name)}, batch {each.batch}</td>"
        f"<td>{escape(each.reason)}</td></tr>"
        for one in record.outcomes
        for each in (one.bench.throughput if one.bench else ())
        if each.reason
    ]
    if not rows:
        return ""
    header = ["bundle", "cell", "why"]
    return "<h2>Not measured</h2>" + table("with the reason", header, rows, numbers_from=3)


def _noise(measured: list[OutcomeRecord]) -> str:
    told = [(one, reason) for one in measured if one.bench for reason in one.bench.noise]
    items = "".join(f"<li>{escape(one.name)}: {escape(reason)}</li>" for one, reason in told)
    title = "<h2>Noisy</h2><p>These figures may not repeat:</p>"
    return f"{title}<ul>{items}</ul>" if told else ""


def _machine(record: SweepRecord) -> str:
    facts = record.machine
    gpu = "no NVIDIA GPU" if facts.gpu is None else f"{facts.gpu.name}, driver {facts.gpu.driver}"
    packages = ", ".join(f"{name} {version}" for name, version in facts.packages.items())
    line = f"{facts.processor}, {facts.cores} cores, {gpu}; {facts.system}; Python {facts.python}; {packages}"
    return f"<h2>Machine</h2><p>{escape(line)}</p>"
