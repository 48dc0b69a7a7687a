"""The part of the page that tells how labelled pictures fare."""

from html import escape

from vipx.calibration.labelled import Labelled, OperatingPoint
from vipx.calibration.thresholds.shares import Share
from vipx.recipe import ThresholdsRecord
from vipx.webpage import table

_ROWS = (
    ("defects that are NG (recall)", "found"),
    ("defects that are NG or REVIEW", "seen"),
    ("good pictures that are NG", "false_alarms"),
    ("defects among all that are NG (precision)", "precision"),
)


def labels_html(found: Labelled, thresholds: ThresholdsRecord) -> str:
    """Lay out what the limits do to pictures that were left out, and beside it to those that made them."""
    header = (
        "",
        "left out: judged by limits made without them",
        "95 %",
        "at the limits as written",
        "95 %",
    )
    rows = [
        _row(name, getattr(found.left_out, field), getattr(found.written, field))
        for name, field in _ROWS
    ]
    return f"<p>{escape(sentence_of(found, thresholds))}</p>" + table(
        "Labelled pictures", header, rows
    )


def sentence_of(found: Labelled, thresholds: ThresholdsRecord) -> str:
    """Say which column to go by, and why."""
    made = "good pictures" if thresholds.costs is None else "good and defective pictures"
    cost = (
        ""
        if found.cost is None
        else f" By those mistakes cost {found.cost:.3g} for each part of the line."
    )
    return (
        f"The limits as written were chosen on these very {made}, and flatter themselves there; go by what is "
        f"said of pictures that were left out when their limits were chosen.{cost} Pictures that repeat one "
        "another count once. Precision is that of these pictures; on a line with fewer defects it is lower."
    )


def point_lines(point: OperatingPoint) -> tuple[str, ...]:
    """Say an operating point in lines for a terminal."""
    return tuple(f"{name}: {getattr(point, field).text}" for name, field in _ROWS)


def _row(name: str, *shares: Share) -> str:
    cells = "".join(
        f'<td class="number">{share.count} of {share.images}</td>'
        f'<td class="number">{100 * share.lower:.1f} to {100 * share.upper:.1f} %</td>'
        for share in shares
    )
    return f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>'
