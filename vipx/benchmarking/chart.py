"""Charts of a sweep as inline SVG: latency against accuracy, or latency alone; shape, not colour, tells."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 860, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 24, 48
BAR = 26
STYLE = """
svg.sweep { width: 100%; max-width: 60rem; height: auto; font: 13px system-ui, sans-serif; }
svg.sweep text { fill: var(--ink); } svg.sweep .soft { fill: var(--soft); }
svg.sweep .grid { stroke: var(--line); } svg.sweep .front { stroke: var(--orange); fill: none; stroke-width: 2;
  stroke-dasharray: 6 4; }
svg.sweep .mark { fill: var(--paper); stroke: var(--blue); stroke-width: 2; }
svg.sweep .best { fill: var(--blue); } svg.sweep .bar { fill: var(--bar); }
"""
# One shape an engine; drawn around the origin.
_SHAPES = {
    "tensorrt": "M0 -8L8 0L0 8L-8 0Z",
    "onnxruntime": "M-7 0A7 7 0 1 0 7 0A7 7 0 1 0 -7 0Z",
    "openvino": "M-6.5 -6.5H6.5V6.5H-6.5Z",
}
_OTHER = "M0 -8L8 6H-8Z"


@dataclass(frozen=True, slots=True)
class Point:
    """One measured cell: milliseconds for an image, and accuracy in percent where it was measured."""

    name: str
    engine: str
    milliseconds: float
    percent: float | None = None


def front(points: Sequence[Point]) -> tuple[Point, ...]:
    """Give the points that no other one beats in both latency and accuracy, the fastest first."""
    best, kept = -math.inf, []
    for point in sorted(points, key=lambda p: (p.milliseconds, -(p.percent or 0.0))):
        if point.percent is not None and point.percent > best:
            best = point.percent
            kept.append(point)
    return tuple(kept)


def scatter(points: Sequence[Point], metric: str) -> str:
    """Draw latency (logarithmic) against accuracy; the dashed line joins what nothing beats in both."""
    known = [point for point in points if point.percent is not None]
    low, high = _span([point.milliseconds for point in known], 1.25)
    values = [point.percent or 0.0 for point in known]
    bottom, top = min(values) - 0.5, min(100.5, max(values) + 0.5)

    def x(value: float) -> float:
        return LEFT + math.log(value / low) / math.log(high / low) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM)

    best = front(known)
    parts = [_vertical(x(tick), f"{tick:g}") for tick in _ticks(low, high)]
    parts += [_horizontal(y(tick), f"{tick:.1f}") for tick in _steps(bottom, top)]
    line = " ".join(f"{x(p.milliseconds):.1f},{y(p.percent or 0.0):.1f}" for p in best)
    parts.append(f'<polyline class="front" points="{line}"/>')
    placed = [(p, x(p.milliseconds), y(p.percent or 0.0)) for p in known]
    parts += [_mark(point, across, up, best=point in best) for point, across, up in placed]
    parts += _labels(placed)
    names = f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">ms for one image (median)</text>'
    names += f'<text x="8" y="16">{escape(metric)}, percent</text>'
    return _svg(
        HEIGHT, f"{metric} against milliseconds of {len(known)} cells", "".join(parts) + names
    )


def bars(points: Sequence[Point]) -> str:
    """Draw latency alone, the fastest first."""
    ordered = sorted(points, key=lambda point: point.milliseconds)
    most = max(point.milliseconds for point in ordered)
    rows = []
    for place, point in enumerate(ordered):
        up = 8 + place * BAR
        long = max(1.0, point.milliseconds / most * (WIDTH - 420))
        rows.append(
            f'<text x="0" y="{up + 15}">{escape(point.name)}</text>'
            f'<rect class="bar" x="320" y="{up}" width="{long:.1f}" height="{BAR - 6}"/>'
            f'<text x="{326 + long:.1f}" y="{up + 15}">{point.milliseconds:.1f} ms</text>'
        )
    return _svg(16 + BAR * len(ordered), f"milliseconds of {len(ordered)} cells", "".join(rows))


def _svg(height: int, summary: str, body: str) -> str:
    return (
        f'<svg class="sweep" role="img" viewBox="0 0 {WIDTH} {height}" aria-label="{escape(summary)}">'
        f"{body}</svg>"
    )


def _mark(point: Point, across: float, up: float, *, best: bool) -> str:
    shape = _SHAPES.get(point.engine, _OTHER)
    told = f"{point.name}: {point.milliseconds:.1f} ms, {point.percent:.2f} %"
    kind = "mark best" if best else "mark"
    place = f'transform="translate({across:.1f} {up:.1f})"'
    return f'<path class="{kind}" d="{shape}" {place}><title>{escape(told)}</title></path>'


def _labels(placed: Sequence[tuple[Point, float, float]]) -> list[str]:
    """Write names beside the marks; one that would run into another moves down."""
    texts: list[str] = []
    taken: list[tuple[float, float]] = []
    for point, across, up in sorted(placed, key=lambda each: each[2]):
        line = up + 4
        while any(abs(line - other) < 14 and abs(across - x) < 190 for x, other in taken):
            line += 14
        taken.append((across, line))
        right = across < WIDTH - 220
        anchor, shift = ("start", 13) if right else ("end", -13)
        texts.append(
            f'<text x="{across + shift:.1f}" y="{line:.1f}" text-anchor="{anchor}">{escape(point.name)}</text>'
        )
    return texts


def _vertical(x: float, name: str) -> str:
    line = f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
    return f'{line}<text class="soft" x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{name}</text>'


def _horizontal(y: float, name: str) -> str:
    line = f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
    return (
        f'{line}<text class="soft" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{name}</text>'
    )


def _span(values: Sequence[float], margin: float) -> tuple[float, float]:
    return min(values) / margin, max(values) * margin


def _ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 3, 5, 7)]
    return [tick for tick in ticks if low <= tick <= high]


def _steps(low: float, high: float) -> list[float]:
    step = next(s for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0) if (high - low) / s <= 8)
    first = math.ceil(low / step)
    return [step * number for number in range(first, math.floor(high / step) + 1)]
