"""The frame of every page that vipx writes: one HTML file without scripts, readable in light and dark."""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

__all__ = ["data_uri", "document", "percent", "table"]

# Blue and orange stay apart for colour-blind eyes, and no fact is told by colour alone.
_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b2733; --soft: #5a6b7b; --line: #d5dde5;
  --card: #f5f8fa; --bar: #d6e6f2; --blue: #0068a8; --orange: #c24e00; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #11171d; --ink: #e6edf3; --soft: #9fb0c0; --line: #33404d; --card: #1a232c;
    --bar: #1f4058; --blue: #63b8f0; --orange: #ff9d57; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 76rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; margin: 2.6rem 0 .6rem; padding-top: .4rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
p { max-width: 62rem; margin: .4rem 0; }
.soft, figcaption small { color: var(--soft); }
nav { margin: .8rem 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
a { color: var(--blue); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .8rem;
  margin: 1.2rem 0; padding: 0; list-style: none; }
.tiles li { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: .7rem .9rem; }
.tiles strong { display: block; font-size: 1.7rem; line-height: 1.25;
  font-variant-numeric: tabular-nums; }
.tiles small { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0; }
caption { text-align: left; color: var(--soft); padding-bottom: .3rem; }
th, td { text-align: left; padding: .35rem .5rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
thead th { border-bottom-width: 2px; }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; } thead th { vertical-align: bottom; }
td.meter { background: linear-gradient(90deg, var(--bar) var(--share), transparent 0)
  no-repeat 0 60% / 100% 1.35rem; }
tr.total > * { font-weight: 700; border-top: 2px solid var(--ink); }
tr.ours > * { background: var(--card); font-weight: 700; }
td.text { overflow-wrap: anywhere; }
figcaption { margin-top: .4rem; overflow-wrap: anywhere; line-height: 1.35; }
.note { border-left: 4px solid var(--orange); background: var(--card); padding: .5rem .9rem; }
code { font-size: .85em; overflow-wrap: anywhere; }
@media print { nav { display: none; } figure { break-inside: avoid; } }
"""


def document(title: str, body: str, style: str = "") -> str:
    """Wrap a page's body; nothing but its own styles and pictures can be loaded by it.

    Args:
        title: Plain text.
        body: HTML.
        style: CSS behind the style of all pages.
    """
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{_STYLE}{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def table(
    caption: str, header: Sequence[str], rows: Iterable[str], *, numbers_from: int = 1
) -> str:
    """Lay out a table; `header` and `caption` are plain text, `rows` are `<tr>` elements."""
    heads = "".join(
        f'<th scope="col"{_number(place >= numbers_from)}>{escape(name)}</th>'
        for place, name in enumerate(header)
    )
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table></div>"
    )


def _number(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def percent(value: float | None, *, signed: bool = False) -> str:
    """Show a share as percent with one decimal; an undefined one as a dash with its meaning."""
    if value is None:
        return '<span title="undefined">-</span>'
    return f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"


def data_uri(pixels: UInt8[ndarray, "height width 3"], longest_side: int) -> str:
    """Encode a picture into the page, scaled down where it is larger."""
    image = Image.fromarray(pixels)
    image.thumbnail((longest_side, longest_side))
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
