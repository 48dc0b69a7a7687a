"""What the store promises, measured: kill -9 while it writes, sweeps of many rows, results a second.

python -m benchmarks.server.storage kill --times 30
python -m benchmarks.server.storage sweep --rows 100000
python -m benchmarks.server.storage rate --seconds 10
python -m benchmarks.server.storage full SMALL_DISK   # a folder on a disk of a few MB, such as a tmpfs
"""

import asyncio
import io
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles
from typing import IO

import click
import numpy as np
from PIL import Image

from vipx.runtime.server.storage.database import NAME, connect
from vipx.runtime.server.storage.pictures import heat_map_png
from vipx.runtime.server.storage.reader import Filter
from vipx.runtime.server.storage.record import Record, new_result_id
from vipx.runtime.server.storage.rows import INSERT, row_of
from vipx.runtime.server.storage.settings import Retention, StorageSettings
from vipx.runtime.server.storage.store import Store
from vipx.runtime.server.storage.writing.disk import DiskSpace
from vipx.runtime.server.storage.writing.retention import sweep_step
from vipx.verdict import Verdict

PLENTY = DiskSpace(10**13, 10**13)


def picture(size: int = 518) -> bytes:
    """A JPEG of a noisy part."""
    pixels = np.random.default_rng(0).integers(90, 160, (size, size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=90)
    return file.getvalue()


def record(image: bytes | None, heat_map: bytes | None, verdict: Verdict = Verdict.NG) -> Record:
    """A result with these pictures."""
    return Record(
        result_id=new_result_id(),
        time=time.time_ns() // 1_000_000,
        recipe="bolt",
        part_id="P",
        verdict=verdict,
        score=0.7,
        threshold=0.5,
        reason="measured",
        image=image,
        heat_map=heat_map,
    )


@click.group()
def main() -> None:
    """Measure the store."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def child(folder: Path) -> None:
    """Store without pause and print what was acknowledged; to be killed."""

    async def run() -> None:
        began = time.perf_counter()
        store = Store(StorageSettings(folder, patience_s=60.0), (), lambda _: PLENTY)
        await store.start()
        _say({"ready": time.perf_counter() - began})
        image, heat_map = picture(128), heat_map_png(np.zeros((64, 64), np.float32))

        async def one() -> None:
            while True:
                given = record(image, heat_map)
                receipt = await store.append(given)
                if receipt.stored:
                    _say({"id": given.result_id, "seq": receipt.seq})

        await asyncio.gather(*(one() for _ in range(4)))

    asyncio.run(run())


def _say(told: dict[str, object]) -> None:
    os.write(1, json.dumps(told).encode() + b"\n")


@main.command()
@click.option("--times", type=click.IntRange(min=1), default=30, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def kill(times: int, seed: int) -> None:
    """Kill a writing process again and again, and look for what was lost."""
    chance = random.Random(seed)
    acknowledged: dict[str, int] = {}
    starts: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder, highest = Path(name), 0
        for turn in range(times):
            told = _until_killed(folder, chance.uniform(0.05, 1.0))
            starts.append(float(told[0]["ready"]))
            fresh = {str(one["id"]): int(one["seq"]) for one in told[1:]}
            if fresh and min(fresh.values()) <= highest:
                raise SystemExit(f"turn {turn}: a number was given again")
            highest = max([highest, *fresh.values()])
            acknowledged |= fresh
            check(folder, acknowledged)
        rows = count_rows(folder)
    answer = {
        "kills": times,
        "acknowledged": len(acknowledged),
        "rows": rows,
        "lost": 0,
        "rows without file": 0,
        "start, median s": round(median(starts), 3),
        "start, longest s": round(max(starts), 3),
    }
    click.echo(json.dumps(answer))


def _until_killed(folder: Path, seconds: float) -> list[dict[str, float]]:
    """Run the child, kill it some time after it was ready, and give what it said."""
    command = [sys.executable, "-m", "benchmarks.server.storage", "child", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    lines = [first, *_whole_lines(process.stdout)]
    process.wait()
    return [json.loads(line) for line in lines]


def _whole_lines(stream: IO[bytes]) -> list[bytes]:
    return [line for line in stream.read().splitlines(keepends=True) if line.endswith(b"\n")]


def check(folder: Path, acknowledged: dict[str, int]) -> None:
    """Look for every acknowledged row, and for the files of all rows; ends the program where one is missing."""
    with closing(sqlite3.connect(folder / NAME)) as connection:
        (whole,) = connection.execute("PRAGMA integrity_check").fetchone()
        rows = connection.execute("SELECT result_id, seq, image, heat_map FROM results").fetchall()
    if whole != "ok":
        raise SystemExit(f"the database is damaged: {whole}")
    held = {row[0]: row[1] for row in rows}
    lost = [one for one, seq in acknowledged.items() if held.get(one) != seq]
    missing = [path for row in rows for path in row[2:] if not (folder / path).is_file()]
    if lost or missing:
        raise SystemExit(f"lost: {len(lost)} acknowledged rows; {len(missing)} rows without file")


def count_rows(folder: Path) -> int:
    """Count the results in a store's database."""
    with closing(sqlite3.connect(folder / NAME)) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM results").fetchone()[0])


@main.command()
@click.option("--rows", type=click.IntRange(min=1000), default=100_000, show_default=True)
def sweep(rows: int) -> None:
    """Bring many rows down to a tenth, and time each step, which is what a result may have to wait."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        connection = connect(folder / NAME, busy_ms=1000)
        _fill(connection, folder, rows)
        settings = StorageSettings(folder, ng=Retention(count=rows // 10))
        steps = []
        while True:
            began = time.perf_counter()
            more = sweep_step(connection, settings)
            steps.append(1000 * (time.perf_counter() - began))
            if not more:
                break
        left, files = count_rows(folder), sum(1 for _ in (folder / "data").rglob("*.jpg"))
        connection.close()
    answer = {
        "rows": rows,
        "left": left,
        "files left": files,
        "steps": len(steps),
        "step, median ms": round(median(steps), 1),
        "step, p99 ms": round(quantiles(steps, n=100)[98], 1),
        "step, longest ms": round(max(steps), 1),
    }
    click.echo(json.dumps(answer))


def _fill(connection: sqlite3.Connection, folder: Path, rows: int) -> None:
    connection.execute("BEGIN")
    for seq in range(rows):
        row = row_of(record(b"\xff\xd8\xff" + bytes(500), None), seq)
        (folder / row["image"]).parent.mkdir(parents=True, exist_ok=True)
        (folder / row["image"]).write_bytes(b"\xff\xd8\xff" + bytes(500))
        connection.execute(INSERT, row)
    connection.execute("COMMIT")


@main.command()
@click.option("--seconds", type=click.FloatRange(min=0.5), default=10.0, show_default=True)
@click.option("--clients", type=click.IntRange(min=1), default=8, show_default=True)
def rate(seconds: float, clients: int) -> None:
    """Store 518 px JPEGs with their maps from several clients, and time each acknowledgement."""
    waits: list[float] = []

    async def run(folder: Path) -> None:
        store = Store(StorageSettings(folder, patience_s=60.0), (), lambda _: PLENTY)
        await store.start()
        image, heat_map = picture(), heat_map_png(np.zeros((518, 518), np.float32))
        end = time.perf_counter() + seconds

        async def one() -> None:
            while (began := time.perf_counter()) < end:
                await store.append(record(image, heat_map))
                waits.append(1000 * (time.perf_counter() - began))

        await asyncio.gather(*(one() for _ in range(clients)))
        await store.close()

    with tempfile.TemporaryDirectory() as name:
        asyncio.run(run(Path(name)))
    answer = {
        "clients": clients,
        "results a second": round(len(waits) / seconds, 1),
        "wait, median ms": round(median(waits), 2),
        "wait, p99 ms": round(quantiles(waits, n=100)[98], 2),
    }
    click.echo(json.dumps(answer))


@main.command()
@click.argument("disk", type=click.Path(path_type=Path, exists=True))
def full(disk: Path) -> None:
    """Fill a small disk for real: answers go on, nothing half-written is named, and it heals."""
    told: dict[str, object] = {}

    async def run() -> None:
        folder = disk / "vipx"
        store = Store(StorageSettings(folder, free_bytes=0, free_share=0.0, patience_s=60.0))
        await store.start()
        image = picture()
        receipts = [await store.append(record(image, None)) for _ in range(200)]
        told["stored before it was full"] = sum(receipt.stored for receipt in receipts)
        told["answered, not stored"] = sum(not receipt.stored for receipt in receipts)
        told["alarm"] = store.state().alarm
        kept = await store.find(Filter(), 1000)
        told["rows without file"] = sum(not (folder / str(one.image)).is_file() for one in kept)
        for one in kept[: len(kept) // 2]:
            (folder / str(one.image)).unlink()  # somebody makes room
        began = time.perf_counter()
        while not (await store.append(record(image, None))).stored:
            await asyncio.sleep(0.05)
        told["healed after s"] = round(time.perf_counter() - began, 2)
        await store.close()

    asyncio.run(run())
    click.echo(json.dumps(told))


if __name__ == "__main__":
    main()
