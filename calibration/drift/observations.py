"""Reads what a line scored: JSON lines as `vipx predict --json` prints them, or CSV with the same names.

path, score           as predict gives them; a row without a score is counted and passed over
camera                which one, if there are several
time                  ISO 8601; where every row has one, images are put in its order
features              global feature: a list in JSON, numbers parted by spaces in CSV
"""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from vipx.calibration.drift.comparison import Observed
from vipx.errors import InputError

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Observations:
    """The images of a file in the order of their making, and how many rows had no score."""

    images: tuple[Observed, ...]
    passed_over: int


def read_observations(path: Path) -> Observations:
    """Read scores.

    Raises:
        InputError: The file cannot be read, or a line of it is no row; the line is named.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [_observed(row, f"{path}, line {line}") for line, row in _rows(file, path)]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no UTF-8 text; give CSV or JSON lines") from error
    images = [row for row in rows if row is not None]
    if not images:
        raise InputError(f"{path}: holds no score; give what `vipx predict --json` prints")
    return Observations(tuple(_in_order(images, path)), len(rows) - len(images))


def _rows(file: Iterable[str], path: Path) -> Iterator[tuple[int, Row]]:
    """Give each row and its line, whichever the format is."""
    lines = iter(file)
    first = next(lines, "")
    if first.lstrip().startswith("{"):
        yield from _json_rows((first, *lines), path)
        return
    reader = csv.DictReader((first, *lines), strict=True)
    if "score" not in (reader.fieldnames or ()):
        raise InputError(f"{path}: expected JSON lines, or CSV with a column named score")
    try:
        for row in reader:
            yield reader.line_num, {name: value for name, value in row.items() if value}
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: no CSV ({error})") from error


def _json_rows(lines: Iterable[str], path: Path) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: no JSON ({error})") from error
        if not isinstance(row, dict) or "score" not in row:
            raise InputError(f"{path}, line {number}: expected an object with a score")
        yield number, {name: value for name, value in row.items() if value is not None}


def _observed(row: Row, where: str) -> Observed | None:
    if "score" not in row:
        return None
    time = row.get("time")
    return Observed(
        score=_number(row["score"], f"{where}: score"),
        camera=str(row.get("camera", "")),
        time=None if time is None else str(time),
        features=_feature(row.get("features"), f"{where}: features"),
    )


def _number(value: object, where: str) -> float:
    try:
        number = float(value) if isinstance(value, (int, float, str)) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where}: expected a finite number, got {value!r}")
    return number


def _feature(value: object, where: str) -> Float32[ndarray, " dim"] | None:
    if value is None:
        return None
    parts = value.split() if isinstance(value, str) else value
    if not isinstance(parts, list) or not parts:
        raise InputError(f"{where}: expected a list of numbers")
    return np.array([_number(part, where) for part in parts], dtype=np.float32)


def _in_order(images: list[Observed], path: Path) -> list[Observed]:
    if any(one.time is None for one in images):
        return images
    try:
        moments = [_moment(one.time or "") for one in images]
        order = sorted(range(len(images)), key=lambda index: moments[index])
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path}: time: expected ISO 8601, with a zone everywhere or nowhere ({error})"
        ) from error
    return [images[index] for index in order]


def _moment(text: str) -> datetime:
    """Python 3.10 reads no Z."""
    return datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
