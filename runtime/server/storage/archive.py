"""Streams results as CSV and as a zip of pictures, without ever holding more than one picture."""

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from vipx.runtime.server.storage.record import JUDGED, Result

COLUMNS = (
    *JUDGED,
    "label",
    "labelled_by",
    "calibration",
    "source",
    "engine",
    "image",
    "heat_map",
    "regions",
    "microseconds",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_ROWS_AT_ONCE = 200


def csv_line(cells: Iterable[object]) -> str:
    """Give one line of CSV; texts that a spreadsheet would run as a formula get an apostrophe in front."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([_harmless(cell) for cell in cells])
    return line.getvalue()


def csv_chunks(results: Iterable[Result]) -> Iterator[bytes]:
    """Give a CSV file, header first; UTF-8 with the mark that spreadsheets want."""
    lines = ["\ufeff" + csv_line(COLUMNS)]
    for result in results:
        lines.append(csv_line(_cells(result)))
        if len(lines) >= _ROWS_AT_ONCE:
            yield "".join(lines).encode()
            lines = []
    yield "".join(lines).encode()


def zip_chunks(results: Iterable[Result], root: Path) -> Iterator[bytes]:
    """Give a zip of the pictures and maps, by verdict, with a `results.csv` of all results.

    A picture that retention removed meanwhile is left out; its row still says what it was.
    """
    pipe = _Pipe()
    table = io.BytesIO()
    table.write(("\ufeff" + csv_line(COLUMNS)).encode())
    with zipfile.ZipFile(pipe, "w") as archive:
        for result in results:
            table.write(csv_line(_cells(result)).encode())
            for path in (result.image, result.heat_map):
                if path is not None:
                    _add(archive, result, root / path)
                    yield pipe.take()
        archive.writestr(_entry("results.csv", None, zipfile.ZIP_DEFLATED), table.getvalue())
    yield pipe.take()


def _add(archive: zipfile.ZipFile, result: Result, path: Path) -> None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    name = f"{result.record.verdict.value}/{path.name}"
    archive.writestr(_entry(name, result.record.time, zipfile.ZIP_STORED), data)


def _entry(name: str, time: int | None, compression: int) -> zipfile.ZipInfo:
    moment = datetime.now(timezone.utc) if time is None else _moment(time)
    stamp = (max(moment.year, 1980), *moment.timetuple()[1:6])  # no zip is older
    entry = zipfile.ZipInfo(name, stamp)
    entry.compress_type = compression
    return entry


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=timezone.utc)


def _cells(result: Result) -> list[object]:
    record = result.record
    return [
        result.seq,
        record.result_id,
        result.utc,
        record.recipe,
        record.part_id,
        record.verdict.value,
        record.score,
        record.threshold,
        record.review,
        record.reason,
        result.label,
        result.labelled_by,
        int(result.calibration),
        record.source,
        record.engine,
        result.image,
        result.heat_map,
        json.dumps([asdict(region) for region in record.regions]),
        json.dumps(dict(record.microseconds)),
    ]


def _harmless(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    shown = cell.replace("\0", "\u2400")  # Python 3.10 writes no NUL, and spreadsheets read none
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


class _Pipe(io.RawIOBase):
    """Takes what the archive writes until it is taken away; cannot seek, so the zip is written straight on."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]
        self._parts.append(part)
        return len(part)

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken
