"""Charts as inline SVG, written by hand: lines, a mirrored histogram, and a scatter."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from vipx.evaluation.curves import Histogram
from vipx.training.metrics import Curve

__all__ = ["Axes", "Series", "histogram_chart", "line_chart", "scatter_chart"]

WIDTH, HEIGHT = 280, 264
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 46, 36
KEY_LINE, KEY_WIDTH = 34, 112  # below the title, where no curve can run
_STYLES = ("first", "second")


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart; None is shown as undefined in the key."""

    name: str
    curve: Curve | None


@dataclass(frozen=True, slots=True)
class Axes:
    """The names of a chart and its axes, and their ranges."""

    title: str
    x: str
    y: str
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)

    def across(self, value: float) -> float:
        """Place a value from left to right, in the units of the drawing."""
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def up(self, value: float) -> float:
        """Place a value from bottom to top."""
        low, high = self.y_range
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def line_chart(axes: Axes, series: Sequence[Series], *, summary: str) -> str:
    """Draw up to two lines, solid and dashed.

    Args:
        axes: All of it plain text.
        series: First and second.
        summary: What a person who cannot see the chart should know.
    """
    parts = [_frame(axes)]
    for place, (each, style) in enumerate(zip(series, _STYLES, strict=False)):
        name = each.name if each.curve else f"{each.name}: undefined"
        if each.curve is not None:
            points = " ".join(_points(axes, each.curve))
            parts.append(f'<polyline class="curve {style}" points="{points}"/>')
        parts.append(_key(place, f'<path class="curve {style}" d="M0 -4h22"/>', name))
    return _figure(axes, summary, "".join(parts))


def histogram_chart(histogram: Histogram, *, summary: str) -> str:
    """Draw good images above the middle line and defective ones below it."""
    most = max(1.0, float(histogram.good.max()), float(histogram.anomalous.max()))
    low, high = float(histogram.edges[0]), float(histogram.edges[-1])
    axes = Axes("Scores", "score", "images", (low, high), (-most, most))
    parts = [_frame(axes, y_ticks=_counts(most))]
    width = (WIDTH - LEFT - RIGHT) / histogram.good.size
    middle = axes.up(0.0)
    for place in range(histogram.good.size):
        x = axes.across(float(histogram.edges[place])) + 0.5
        top, low_end = (
            axes.up(float(histogram.good[place])),
            axes.up(-float(histogram.anomalous[place])),
        )
        parts.append(_bar("good", x, top, width - 1, middle - top))
        parts.append(_bar("bad", x, middle, width - 1, low_end - middle))
    parts.append(f'<path class="axis" d="M{LEFT} {middle:.1f}H{WIDTH - RIGHT}"/>')
    parts.append(_key(0, _bar("good", 6.0, -9.0, 12.0, 9.0), "▲ good"))
    parts.append(_key(1, _bar("bad", 6.0, -9.0, 12.0, 9.0), "▼ defective"))
    return _figure(axes, summary, "".join(parts))


def scatter_chart(
    axes: Axes,
    first: Float[ndarray, "images"],
    second: Float[ndarray, "images"],
    defective: Bool[ndarray, "images"],
    *,
    summary: str,
) -> str:
    """Draw one mark for each image: a circle for a good one, a triangle for a defective one."""
    parts = [_frame(axes)]
    ends = " ".join(_points(axes, Curve(np.array(axes.x_range), np.array(axes.x_range))))
    parts.append(f'<polyline class="grid" points="{ends}"/>')
    for x, y, bad in zip(first, second, defective, strict=True):
        left, top = axes.across(float(x)), axes.up(float(y))
        if bad:
            parts.append(f'<path class="bad" d="M{left:.1f} {top - 3:.1f}l3 5h-6z"/>')
        else:
            parts.append(f'<circle class="good" cx="{left:.1f}" cy="{top:.1f}" r="2"/>')
    parts.append(_key(0, '<circle class="good" cx="14" cy="-4" r="3"/>', "good"))
    parts.append(_key(1, '<path class="bad" d="M14 -9l4 8h-8z"/>', "defective"))
    return _figure(axes, summary, "".join(parts))


def _figure(axes: Axes, summary: str, inside: str) -> str:
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(axes.title)}: {escape(summary)}">'
        f"<title>{escape(axes.title)}: {escape(summary)}</title>{inside}</svg></figure>"
    )


def _frame(axes: Axes, y_ticks: Sequence[tuple[float, str]] | None = None) -> str:
    """Title, grid, ticks and names of the axes."""
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [f'<text class="title" x="{LEFT}" y="16">{escape(axes.title)}</text>']
    for value, name in _ticks(axes.x_range):
        x = axes.across(value)
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{name}</text>')
    for value, name in _ticks(axes.y_range) if y_ticks is None else y_ticks:
        y = axes.up(value)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{name}</text>')
    parts.append(f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>')
    middle = (LEFT + right) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(axes.x)}</text>'
    )
    parts.append(
        f'<text x="11" y="{(TOP + bottom) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 11 {(TOP + bottom) / 2})">{escape(axes.y)}</text>'
    )
    return "".join(parts)


def _ticks(bounds: tuple[float, float]) -> list[tuple[float, str]]:
    low, high = bounds
    digits = max(1, int(np.ceil(1 - np.log10(high - low))))
    return [
        (low + (high - low) * quarter / 4, f"{low + (high - low) * quarter / 4:.{digits}f}")
        for quarter in (0, 2, 4)
    ]


def _counts(most: float) -> list[tuple[float, str]]:
    return [(value, f"{abs(value):.0f}") for value in (-most, 0.0, most)]


def _points(axes: Axes, curve: Curve) -> Iterator[str]:
    for x, y in zip(curve.x, curve.y, strict=True):
        yield f"{axes.across(float(x)):.1f},{axes.up(float(y)):.1f}"


def _key(place: int, mark: str, name: str) -> str:
    """Explain a mark of 22 units' width below the title."""
    x = LEFT + KEY_WIDTH * place
    return (
        f'<g transform="translate({x} {KEY_LINE})">{mark}</g>'
        f'<text x="{x + 27}" y="{KEY_LINE}">{escape(name)}</text>'
    )


def _bar(kind: str, x: float, y: float, width: float, height: float) -> str:
    if height <= 0:
        return ""
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
    )
