"""Turns records into rows and messages, and rows back into results."""

import json
import sqlite3
from dataclasses import asdict
from typing import Any

from vipx.runtime.server.storage.pictures import paths_of
from vipx.runtime.server.storage.record import JUDGED, Record, Result, iso_time
from vipx.runtime.server.work.task import Region
from vipx.verdict import Verdict

_COLUMNS = (
    *JUDGED,
    "regions",
    "microseconds",
    "source",
    "engine",
    "identity",
    "image",
    "heat_map",
    "bytes",
)
INSERT = (
    f"INSERT INTO results ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{c}' for c in _COLUMNS)})"
)


def row_of(record: Record, seq: int) -> dict[str, Any]:
    """Give the values for `INSERT`; the caller's texts are kept, undecodable characters escaped."""
    image, heat_map = paths_of(record)
    return {
        "seq": seq,
        "result_id": record.result_id,
        "time": record.time,
        "recipe": _storable(record.recipe),
        "part_id": _storable(record.part_id),
        "verdict": record.verdict.value,
        "score": record.score,
        "threshold": record.threshold,
        "review": record.review,
        "reason": _storable(record.reason),
        "regions": json.dumps([asdict(region) for region in record.regions]),
        "microseconds": json.dumps(dict(record.microseconds)),
        "source": _storable(record.source),
        "engine": _storable(record.engine),
        "identity": record.identity,
        "image": image,
        "heat_map": heat_map,
        "bytes": len(record.image or b"") + len(record.heat_map or b""),
    }


def add_picture(connection: sqlite3.Connection, seq: int, image: str, size: int) -> bool:
    """Give a row the picture that followed it; False if the row is gone meanwhile."""
    found = connection.execute("SELECT kind FROM results WHERE seq = ?", (seq,)).fetchone()
    if found is None:
        return False
    connection.execute(
        "UPDATE results SET image = ?, bytes = bytes + ? WHERE seq = ?", (image, size, seq)
    )
    connection.execute("UPDATE totals SET bytes = bytes + ? WHERE kind = ?", (size, found[0]))
    return True


def result_of(row: sqlite3.Row) -> Result:
    """Give the result that a whole row of `results` stands for."""
    record = Record(
        result_id=row["result_id"],
        time=row["time"],
        recipe=row["recipe"],
        part_id=row["part_id"],
        verdict=Verdict(row["verdict"]),
        score=row["score"],
        threshold=row["threshold"],
        reason=row["reason"],
        regions=tuple(Region(**region) for region in json.loads(row["regions"])),
        microseconds=json.loads(row["microseconds"]),
        source=row["source"],
        review=row["review"],
        engine=row["engine"],
        identity=row["identity"],
    )
    return Result(
        record=record,
        seq=row["seq"],
        image=row["image"],
        heat_map=row["heat_map"],
        label=row["label"],
        labelled_by=row["labelled_by"],
        calibration=bool(row["calibration"]),
    )


def plain(record: Record, seq: int) -> dict[str, Any]:
    """Give a result as plain data, for messages, events and pages; a score that is no number is null."""
    score = record.score if record.score is not None and record.score == record.score else None
    return {
        "result_id": record.result_id,
        "seq": seq,
        "time": iso_time(record.time),
        "recipe": record.recipe,
        "part_id": record.part_id,
        "verdict": record.verdict.value,
        "score": score,
        "threshold": record.threshold,
        "review": record.review,
        "reason": record.reason,
        "regions": [asdict(region) for region in record.regions],
        "microseconds": dict(record.microseconds),
        "source": record.source,
    }


def message_of(record: Record, seq: int) -> str:
    """Give the one-line JSON that sinks send."""
    return json.dumps(plain(record, seq), ensure_ascii=True, allow_nan=False)


def _storable(text: str) -> str:
    """Escape what UTF-8 cannot hold: a lone surrogate from a file name must not cost the row."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
