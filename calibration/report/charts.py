"""Two charts as inline SVG: a histogram with limits, and the tail against the exponential distribution."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from vipx.calibration.limits import logits_of
from vipx.recipe import LimitRecord

WIDTH, HEIGHT = 560, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 48, 40
_BINS = 40

STYLE = """
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(30rem, 100%), 1fr)); gap: 1rem; }
.charts figure, .plates figure { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  margin: 0; padding: .7rem; }
.charts svg { display: block; width: 100%; height: auto; color: var(--ink); }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
svg .grid { stroke: var(--line); } svg .axis { stroke: currentColor; fill: none; }
svg .good { fill: var(--blue); } svg .bad { fill: var(--orange); }
svg .ng { stroke: var(--orange); stroke-width: 2; } svg .review { stroke: var(--ink); stroke-dasharray: 5 4; }
svg .band { fill: var(--bar); } svg .fit { stroke: var(--ink); fill: none; stroke-width: 1.5; }
svg .title { font-weight: 600; }
.plates { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); gap: 1rem; }
.plates div { display: flex; gap: .4rem; } .plates img { width: 50%; height: auto; border-radius: .25rem; }
"""


@dataclass(frozen=True, slots=True)
class Plot:
    """The ranges of a chart's axes."""

    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, value: float) -> float:
        """Place a value from left to right."""
        return LEFT + (value - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - RIGHT)

    def up(self, value: float) -> float:
        """Place a value from bottom to top."""
        return (
            HEIGHT
            - BOTTOM
            - (value - self.y[0]) / (self.y[1] - self.y[0]) * (HEIGHT - TOP - BOTTOM)
        )


def histogram(
    name: str,
    good: Float64[ndarray, " good"],
    bad: Float64[ndarray, " bad"],
    limit: LimitRecord,
) -> str:
    """Draw good images upwards and defective ones downwards, with the limit and its interval."""
    every = np.concatenate([good, bad, [limit.ng, limit.review, *limit.interval]])
    edges = np.linspace(*_range(every), _BINS + 1)
    counts = [np.histogram(each, edges)[0] for each in (good, bad)]
    top, low = max(1, int(counts[0].max())), -int(counts[1].max())
    plot = Plot((float(edges[0]), float(edges[-1])), (float(low), float(top)))
    parts = [_frame(plot, f"{name}: good above, defective below", name, "images")]
    left, right = (plot.across(end) for end in limit.interval)
    parts.append(_band(left, right))
    for place in range(_BINS):
        x, width = plot.across(float(edges[place])) + 0.5, (WIDTH - LEFT - RIGHT) / _BINS - 1
        above, below = plot.up(float(counts[0][place])), plot.up(-float(counts[1][place]))
        parts.append(_bar("good", x, above, width, plot.up(0.0) - above))
        parts.append(_bar("bad", x, plot.up(0.0), width, below - plot.up(0.0)))
    parts += [_upright("review", plot.across(limit.review)), _upright("ng", plot.across(limit.ng))]
    parts.append(_key((("ng", f"NG {limit.ng:.4f}"), ("review", f"REVIEW {limit.review:.4f}"))))
    summary = f"{good.size} good and {bad.size} defective images; NG from {limit.ng:.4f} on"
    return _figure(f"Histogram of the {name}: {summary}", "".join(parts))


def tail_plot(name: str, good: Float64[ndarray, " good"], limit: LimitRecord) -> str:
    """Draw log odds of the good images against exponential quantiles, and the fitted tail where there is one.

    The i-th highest of n stands at `-ln(i / (n + 1))`: an exponential tail is a straight line, a bounded one
    bends down, a heavy one up. The limit stands at the share that was asked for.
    """
    ordered = np.sort(logits_of(good))[::-1]
    quantiles = -np.log(np.arange(1, good.size + 1) / (good.size + 1))
    mark, level = -np.log(limit.rate), float(logits_of(np.array([limit.good_ng]))[0])
    fitted = _fitted(limit, good.size, float(max(mark, quantiles[0]) * 1.05))
    heights = np.concatenate([ordered, [level], fitted[1]])
    plot = Plot((0.0, float(max(mark, quantiles[0])) * 1.05), _range(heights))
    title = f"{name}: tail against the exponential"
    parts = [_frame(plot, title, "-ln(share of good images above)", "log odds")]
    if fitted[0].size:
        points = " ".join(
            f"{plot.across(float(x)):.1f},{plot.up(float(y)):.1f}"
            for x, y in zip(*fitted, strict=True)
        )
        parts.append(f'<polyline class="fit" points="{points}"/>')
    for x, y in zip(quantiles, ordered, strict=True):
        where = f'cx="{plot.across(float(x)):.1f}" cy="{plot.up(float(y)):.1f}"'
        parts.append(f'<circle class="good" {where} r="2.5"/>')
    x, y = plot.across(float(mark)), plot.up(level)
    parts.append(f'<path class="bad" d="M{x:.1f} {y - 6:.1f}l5 9h-10z"/>')
    parts.append(_key((("good", "good image"), ("bad", f"limit at a rate of {limit.rate:.3g}"))))
    return _figure(f"{title}: {good.size} good images and the limit", "".join(parts))


def _fitted(
    limit: LimitRecord, images: int, end: float
) -> tuple[Float64[ndarray, " points"], Float64[ndarray, " points"]]:
    """Give the fitted tail's log odds over exponential quantiles."""
    fit = limit.fit
    if fit is None:
        return np.empty(0), np.empty(0)
    start = -np.log(fit.exceedances / images)
    x = np.linspace(start, end, 60)
    beyond = x - start  # exponential quantiles of the excess
    if abs(fit.shape) < 1e-9:
        return x, fit.location + fit.scale * beyond
    return x, fit.location + fit.scale * np.expm1(fit.shape * beyond) / fit.shape


def _range(values: Float64[ndarray, " values"]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.04 * (high - low) or 0.01
    return low - margin, high + margin


def _figure(summary: str, inside: str) -> str:
    label = escape(summary)
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"<title>{label}</title>{inside}</svg></figure>"
    )


def _frame(plot: Plot, title: str, x: str, y: str) -> str:
    bottom, right, middle = HEIGHT - BOTTOM, WIDTH - RIGHT, (TOP + HEIGHT - BOTTOM) / 2
    parts = [f'<text class="title" x="{LEFT}" y="16">{escape(title)}</text>']
    for value in np.linspace(*plot.x, 5):
        left = plot.across(float(value))
        parts.append(f'<path class="grid" d="M{left:.1f} {TOP}V{bottom}"/>')
        parts.append(
            f'<text x="{left:.1f}" y="{bottom + 15}" text-anchor="middle">{value:.3g}</text>'
        )
    for value in _levels(plot):
        down = plot.up(float(value))
        parts.append(f'<path class="grid" d="M{LEFT} {down:.1f}H{right}"/>')
        shown = f"{abs(value):.0f}" if y == "images" else f"{value:.3g}"
        parts.append(f'<text x="{LEFT - 5}" y="{down + 4:.1f}" text-anchor="end">{shown}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>')
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x)}</text>')
    parts.append(
        f'<text x="12" y="{middle}" text-anchor="middle" transform="rotate(-90 12 {middle})">{escape(y)}</text>'
    )
    return "".join(parts)


def _levels(plot: Plot) -> Float64[ndarray, " ticks"]:
    """Give the values to name on the upright axis; counts above and below 0 meet at it."""
    low, high = plot.y
    if low <= 0 <= high:
        return np.unique([low, 0.0, np.ceil(high / 2), high])
    return np.linspace(low, high, 5)


def _upright(kind: str, x: float) -> str:
    return f'<path class="{kind}" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>'


def _band(left: float, right: float) -> str:
    width, height = max(1.0, right - left), float(HEIGHT - TOP - BOTTOM)
    return _bar("band", left, float(TOP), width, height)


def _bar(kind: str, x: float, y: float, width: float, height: float) -> str:
    if height <= 0:
        return ""
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
    )


def _key(entries: Sequence[tuple[str, str]]) -> str:
    """Explain two marks below the title."""
    marks = {
        "ng": '<path class="ng" d="M0 -4h20"/>',
        "review": '<path class="review" d="M0 -4h20"/>',
        "good": '<circle class="good" cx="10" cy="-4" r="3"/>',
        "bad": '<path class="bad" d="M10 -9l5 9h-10z"/>',
    }
    return "".join(
        f'<g transform="translate({LEFT + 200 * place} 36)">{marks[kind]}</g>'
        f'<text x="{LEFT + 200 * place + 26}" y="36">{escape(text)}</text>'
        for place, (kind, text) in enumerate(entries)
    )
