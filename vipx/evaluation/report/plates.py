"""Pictures for a report: each with its heat map and its truth, encoded at once and small."""

from dataclasses import dataclass
from html import escape

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray
from scipy.ndimage import binary_dilation

from vipx.evaluation.exhibits import Exhibit, Role
from vipx.runtime.heatmaps import overlay
from vipx.webpage import data_uri

__all__ = ["Plate", "plate_from_exhibit", "plate_html"]

LONGEST_SIDE = 240
DIMMED = 0.35
OUTLINE = (255, 255, 255)
_TITLES: dict[Role, str] = {
    "best found": "Clearest defect",
    "most missed": "Defect with the lowest score",
    "worst false alarm": "Good part with the highest score",
    "quietest good": "Quietest good part",
}


@dataclass(frozen=True, slots=True)
class Plate:
    """An exhibit ready for the page; `truth` is None where there is none to show."""

    role: Role
    name: str
    defect: str | None
    score: float
    picture: str
    heat: str
    truth: str | None


def plate_from_exhibit(exhibit: Exhibit, heat: tuple[float, float]) -> Plate:
    """Encode a picture, its heat map between the two values of `heat`, and its mask."""
    low, high = heat if heat[0] < heat[1] else (heat[0], heat[0] + 1.0)
    shown = overlay(exhibit.image, exhibit.anomaly_map, opacity=0.65, low=low, high=high)
    truth = None
    if exhibit.mask is not None and exhibit.mask.any():
        truth = data_uri(_outlined(exhibit.image, exhibit.mask), LONGEST_SIDE)
    return Plate(
        exhibit.role,
        exhibit.name,
        exhibit.defect,
        exhibit.score,
        data_uri(exhibit.image, LONGEST_SIDE),
        data_uri(shown, LONGEST_SIDE),
        truth,
    )


def plate_html(plate: Plate) -> str:
    """Lay out one picture with its heat map and truth."""
    name = escape(plate.name)
    cells = [
        _cell(plate.picture, name, "picture"),
        _cell(plate.heat, f"heat map of {name}", "heat map"),
    ]
    if plate.truth is not None:
        cells.append(_cell(plate.truth, f"marked defect of {name}", "truth: the bright part"))
    else:
        reason = "no defect" if plate.defect is None else "pixel truth unknown"
        cells.append(f'<li class="none">{reason}</li>')
    kind = "good" if plate.defect is None else escape(plate.defect)
    return (
        f"<figure><ul>{''.join(cells)}</ul><figcaption><strong>{_TITLES[plate.role]}</strong>: "
        f"score {plate.score:.4f}, {kind}<br><small>{name}</small></figcaption></figure>"
    )


def _cell(source: str, alternative: str, title: str) -> str:
    return f'<li><img src="{source}" alt="{alternative}">{title}</li>'


def _outlined(
    image: UInt8[ndarray, "height width 3"], mask: Bool[ndarray, "height width"]
) -> UInt8[ndarray, "height width 3"]:
    """Dim everything but the defect, and draw a line around it."""
    shown = np.where(mask[..., None], image, image * DIMMED).astype(np.uint8)
    thickness = max(1, max(mask.shape) // LONGEST_SIDE)
    shown[binary_dilation(mask, iterations=thickness) & ~mask] = OUTLINE
    return shown
