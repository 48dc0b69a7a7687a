"""The demo's page: one HTML file that holds its pictures and asks nothing of any server."""

from html import escape
from typing import TYPE_CHECKING

from vipx import __version__
from vipx.files import write_atomically
from vipx.runtime.heatmaps import overlay
from vipx.webpage import data_uri, document, table

if TYPE_CHECKING:
    from vipx.demo.command import CategoryResult, DemoResult, Inspected

_LONGEST_SIDE = 320
# Verdicts differ by word, shape and colour; blue, orange and grey stay apart for colour-blind eyes.
_SHAPES = {"OK": "●", "NG": "▲", "REVIEW": "◆", "ERROR": "■"}

_STYLE = """
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem; }
.cards figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: .6rem; }
.cards div { display: flex; gap: .4rem; }
.cards img { width: 50%; height: auto; border-radius: .25rem; }
.verdict { font-weight: 700; }
.OK { color: var(--blue); } .NG { color: var(--orange); } .REVIEW, .ERROR { color: var(--soft); }
"""


def write_page(result: "DemoResult") -> None:
    """Write the page of a demo.

    Raises:
        InputError: The file cannot be written there.
        ResourceError: The disk is full.
    """
    write_atomically(result.page, _page(result).encode())


def _page(result: "DemoResult") -> str:
    header = ("kind", "threshold", "good, passed", "defective, found")
    rows = [_row(category) for category in result.categories]
    cards = "\n".join(_card(picture) for picture in result.pictures)
    body = f"""<h1>vipx demo</h1>
<p>Parts of kinds that the model never saw in training, drawn by vipx. For each kind the threshold lies just
above the highest score of 20 good parts; scores from there on are NG. Pictures of your own have no threshold,
so they are REVIEW.</p>
<p>vipx {__version__}, bundle <code>{result.bundle[:16]}</code>, verified: golden images within
{result.worst_golden:.0%} of their bounds. Median {result.median_milliseconds:.1f} ms from pixels to map.</p>
{table("Verdicts of each kind of part", header, rows)}
<h2>Pictures</h2>
<div class="cards">
{cards}
</div>"""
    return document("vipx demo", body, _STYLE)


def _row(category: "CategoryResult") -> str:
    return (
        f'<tr><th scope="row">{escape(_words(category.category))}</th>'
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
<div><img src="{data_uri(picture.image, _LONGEST_SIDE)}" alt="{escape(name)}">
<img src="{data_uri(heat, _LONGEST_SIDE)}" alt="heat map of {escape(name)}"></div>
<figcaption><span class="verdict {verdict}">{_SHAPES[verdict]} {verdict}</span>
{escape(name)}{escape(truth)}<br>
score {picture.score:.4f}, {threshold}, {picture.milliseconds:.1f} ms</figcaption>
</figure>"""


def _words(name: str) -> str:
    return name.replace("_", " ")
