"""The demo's page: one HTML file that holds its pictures and asks nothing of any server."""

import base64
import io
from html import escape
from typing import TYPE_CHECKING

from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from vipx import __version__
from vipx.files import write_atomically
from vipx.runtime.heatmaps import overlay

if TYPE_CHECKING:
    from vipx.demo.command import CategoryResult, DemoResult, Inspected

_LONGEST_SIDE = 320
# Verdicts differ by word, shape and colour; blue, orange and grey stay apart for colour-blind eyes.
_SHAPES = {"OK": "●", "NG": "▲", "REVIEW": "◆", "ERROR": "■"}

_STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: .5rem; padding: .6rem; }
figure div { display: flex; gap: .4rem; }
figure img { width: 50%; height: auto; }
figcaption { overflow-wrap: anywhere; }
.verdict { font-weight: 700; }
.OK { color: #0067b8; } .NG { color: #c04a00; } .REVIEW, .ERROR { color: #666; }
@media (prefers-color-scheme: dark) {
  .OK { color: #5db4ff; } .NG { color: #ff9a57; } .REVIEW, .ERROR { color: #aaa; }
}
"""


def write_page(result: "DemoResult") -> None:
    """Write the page of a demo.

    Raises:
        InputError: The file cannot be written there.
        ResourceError: The disk is full.
    """
    write_atomically(result.page, _page(result).encode())


def _page(result: "DemoResult") -> str:
    rows = "\n".join(_row(category) for category in result.categories)
    cards = "\n".join(_card(picture) for picture in result.pictures)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>vipx demo</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<h1>vipx demo</h1>
<p>Parts of kinds that the model never saw in training, drawn by vipx. For each kind the threshold lies just
above the highest score of 20 good parts; scores from there on are NG. Pictures of your own have no threshold,
so they are REVIEW.</p>
<p>vipx {__version__}, bundle <code>{result.bundle[:16]}</code>, verified: golden images within
{result.worst_golden:.0%} of their bounds. Median {result.median_milliseconds:.1f} ms from pixels to map.</p>
<table>
<thead><tr><th>kind</th><th class="number">threshold</th><th class="number">good, passed</th>
<th class="number">defective, found</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
<h2>Pictures</h2>
<div class="cards">
{cards}
</div>
</body>
</html>
"""


def _row(category: "CategoryResult") -> str:
    return (
        f"<tr><td>{escape(_words(category.category))}</td>"
        f'<td class="number">{category.threshold:.4f}</td>'
        f'<td class="number">{category.good_passed} of {category.good}</td>'
        f'<td class="number">{category.defective_found} of {category.defective}</td></tr>'
    )


def _card(picture: "Inspected") -> str:
    name, verdict = _words(picture.title) if picture.truth else picture.title, picture.verdict.value
    threshold = (
        "no threshold" if picture.threshold is None else f"threshold {picture.threshold:.4f}"
    )
    truth = f", drawn: {_words(picture.truth)}" if picture.truth else ""
    heat = overlay(picture.image, picture.anomaly_map, opacity=0.6)
    return f"""<figure>
<div><img src="{_data_uri(picture.image)}" alt="{escape(name)}">
<img src="{_data_uri(heat)}" alt="heat map of {escape(name)}"></div>
<figcaption><span class="verdict {verdict}">{_SHAPES[verdict]} {verdict}</span>
{escape(name)}{escape(truth)}<br>
score {picture.score:.4f}, {threshold}, {picture.milliseconds:.1f} ms</figcaption>
</figure>"""


def _words(name: str) -> str:
    return name.replace("_", " ")


def _data_uri(pixels: UInt8[ndarray, "height width 3"]) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
