"""CSV tables with a header, row by row, with the place of each for errors."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vipx.errors import InputError

__all__ = ["Row", "rows_of"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its cells by column name, without surrounding blanks, and where it stands."""

    cells: Mapping[str, str]
    place: str


def rows_of(table: Path, required: Sequence[str]) -> Iterator[Row]:
    """Read a UTF-8 CSV file, with comma or semicolon.

    Raises:
        InputError: it cannot be read, lacks a required column, or a row has too few or too many cells.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            yield from _rows(table, file.read().splitlines(), required)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{table}: cannot be read as CSV ({error}); save it as UTF-8 text with a header"
        ) from error


def _rows(table: Path, lines: Sequence[str], required: Sequence[str]) -> Iterator[Row]:
    header = lines[0] if lines else ""
    delimiter = ";" if header.count(";") > header.count(",") else ","
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    names = [name.strip() for name in next(reader, [])]
    missing = [name for name in required if name not in names]
    if missing:
        raise InputError(
            f"{table}: expected the columns {', '.join(required)}; the header lacks {', '.join(missing)}"
        )
    for cells in reader:
        place = f"{table}, line {reader.line_num}"
        if not cells:
            continue
        if len(cells) != len(names):
            raise InputError(f"{place}: expected {len(names)} cells, got {len(cells)}")
        yield Row(dict(zip(names, (cell.strip() for cell in cells), strict=True)), place)
