"""The contact sheet: a few pictures of each kind, their masks outlined, as one PNG or HTML file."""

import base64
import html
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray
from PIL import Image, ImageDraw

from vipx.errors import InputError, UsageError
from vipx.files import write_atomically
from vipx.images import read_image
from vipx.training.data.samples import Dataset, Sample, read_truth
from vipx.webpage import document

__all__ = ["check_ending", "write_sheet"]

_EACH: Final = 6
_ROWS_MOST: Final = 150
_SIDE: Final = 144
_TITLE: Final = 18
_OUTLINE: Final = (255, 0, 64)
_PAPER: Final = (245, 245, 245)


@dataclass(frozen=True, slots=True)
class _Row:
    """A few samples of one kind, and what is said above them."""

    title: str
    samples: tuple[Sample, ...]


def write_sheet(dataset: Dataset, path: Path) -> None:
    """Write up to six pictures of each category, split and kind; `path` ends in .png or .html.

    Only these are decoded, one at a time; more than 150 kinds are cut there, and the sheet says so.

    Raises:
        UsageError: `path` ends otherwise.
        InputError: it cannot be written there.
    """
    check_ending(path)
    rows = _rows(dataset)
    png = path.suffix.lower() == ".png"
    write_atomically(path, _png(rows) if png else _html(dataset, rows).encode())


def check_ending(path: Path) -> None:
    """Refuse a contact sheet of an unknown kind, before minutes are spent on it.

    Raises:
        UsageError: `path` ends neither in .png nor in .html.
    """
    if path.suffix.lower() not in (".png", ".html"):
        raise UsageError(f"{path}: a contact sheet ends in .png or .html; rename it")


def _rows(dataset: Dataset) -> list[_Row]:
    kinds: dict[tuple[str, str, str], list[Sample]] = {}
    for each in dataset.samples:
        kinds.setdefault((each.category, each.split, each.defect or ""), []).append(each)
    rows = []
    for (category, split, defect), samples in sorted(kinds.items())[:_ROWS_MOST]:
        chosen = np.linspace(0, len(samples) - 1, min(_EACH, len(samples))).astype(int)
        title = f"{category} / {split} / {defect or 'good'}: {len(samples)}"
        rows.append(_Row(title, tuple(samples[index] for index in chosen)))
    if len(kinds) > _ROWS_MOST:
        rows.append(_Row(f"... and {len(kinds) - _ROWS_MOST} more kinds, left out here", ()))
    return rows


def _png(rows: Sequence[_Row]) -> bytes:
    height = sum(_TITLE + (_SIDE if row.samples else 0) for row in rows)
    canvas = Image.new("RGB", (_EACH * _SIDE, height), _PAPER)
    draw = ImageDraw.Draw(canvas)
    top = 0
    for row in rows:
        # Pillow's own font knows Latin-1 alone where it is built without FreeType.
        draw.text((4, top + 3), row.title.encode("latin-1", "replace").decode("latin-1"), fill=0)
        top += _TITLE
        for column, sample in enumerate(row.samples):
            cell = _thumbnail(sample)
            canvas.paste(cell, (column * _SIDE + (_SIDE - cell.width) // 2, top))
        top += _SIDE if row.samples else 0
    return _encoded(canvas, "PNG")


def _html(dataset: Dataset, rows: Sequence[_Row]) -> str:
    title = f"{dataset.name}: {dataset.root}"
    lines = [f"<h1>{html.escape(title)}</h1>", *(line for row in rows for line in _html_row(row))]
    return document(title, "\n".join(lines))


def _html_row(row: _Row) -> Iterator[str]:
    yield f"<h2>{html.escape(row.title)}</h2>"
    for sample in row.samples:
        data = base64.b64encode(_encoded(_thumbnail(sample), "JPEG")).decode("ascii")
        name = html.escape(str(sample.image), quote=True)
        yield f'<img src="data:image/jpeg;base64,{data}" alt="{name}" title="{name}">'


def _encoded(picture: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def _thumbnail(sample: Sample) -> Image.Image:
    """A picture of at most 140 px a side with the outline of its mask; a crossed box if it cannot be read."""
    try:
        image = read_image(sample.image)
        mask = read_truth(sample, (image.shape[0], image.shape[1]))
    except InputError:
        return _crossed()
    scale = (_SIDE - 4) / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = np.array(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    if mask is not None and mask.any():
        small[_outline(mask, size)] = _OUTLINE
    return Image.fromarray(small)


def _outline(
    mask: Bool[ndarray, "height width"], size: tuple[int, int]
) -> Bool[ndarray, "small_height small_width"]:
    """The rim of a mask at `size` (width, height); what is smaller than a pixel still shows as one."""
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    small = np.asarray(grey.resize(size, Image.Resampling.BOX)) > 0
    padded = np.pad(small, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return small & ~inner


def _crossed() -> Image.Image:
    side = _SIDE - 4
    box: UInt8[ndarray, "side side 3"] = np.full((side, side, 3), 200, np.uint8)
    picture = Image.fromarray(box)
    draw = ImageDraw.Draw(picture)
    draw.line((0, 0, side, side), fill=_OUTLINE, width=3)
    draw.line((0, side, side, 0), fill=_OUTLINE, width=3)
    return picture
