"""Kills a whole server with SIGKILL again and again while pictures come, and looks for what was lost.

    python -m benchmarks.server.kills [--times 30]

The real `vipx serve-local` on the demo bundle, three clients without pause, the same data folder each time. A
start counts from the command to readiness over HTTP, with what the last kill left behind.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

from benchmarks.server.storage import check, count_rows
from vipx.demo import DEMO_BUNDLE

_CLIENTS = 3
_READY_S = 30.0


@dataclass(frozen=True, slots=True)
class Kills:
    """What was found.

    Attributes:
        times: Kills.
        acknowledged: Answers that said `stored: true`.
        rows: In the database at the end; all acknowledged ones are among them.
        starts_s: From each command to readiness; the first has an empty folder.
        gone_s: From each kill until the engine's process had ended, too.
    """

    times: int
    acknowledged: int
    rows: int
    starts_s: list[float]
    gone_s: list[float]


@click.command()
@click.option("--times", type=click.IntRange(min=1), default=30, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def main(times: int, seed: int) -> None:
    """Print what was found as JSON; ends with 1 where anything was lost."""
    with tempfile.TemporaryDirectory() as name:
        found = kill_repeatedly(Path(name), times, seed)
    answer = {
        "kills": found.times,
        "acknowledged": found.acknowledged,
        "rows": found.rows,
        "lost": 0,
        "rows without file": 0,
        "start on an empty folder, s": round(found.starts_s[0], 2),
        "start after a kill, median s": round(median(found.starts_s[1:] or found.starts_s), 2),
        "start after a kill, longest s": round(max(found.starts_s[1:] or found.starts_s), 2),
        "engine gone, longest s": round(max(found.gone_s), 2),
    }
    click.echo(json.dumps(answer))


def kill_repeatedly(folder: Path, times: int, seed: int = 0) -> Kills:
    """Start, load and kill a server so many times in one data folder.

    Raises:
        SystemExit: An acknowledged row is missing, a row has no file, or the database is damaged.
    """
    chance = random.Random(seed)
    acknowledged: dict[str, int] = {}
    starts, gone = [], []
    for _ in range(times):
        began = time.perf_counter()
        with _Server(folder) as server:
            starts.append(server.ready_at - began)
            acknowledged |= server.load_until_killed(chance.uniform(0.05, 1.0))
            gone.append(server.wait_for_engine())
        check(folder, acknowledged)
    return Kills(times, len(acknowledged), count_rows(folder), starts, gone)


class _Server:
    """A server that is ready."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "vipx", "serve-local", str(DEMO_BUNDLE), "--json"]
        options = [
            "--port",
            "0",
            "--data",
            str(folder),
            "--threshold",
            "0.5",
            "--timeout-ms",
            "9000",
        ]
        self._process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE)
        self._url = self._when_ready()
        self.ready_at = time.perf_counter()
        self._engines = _children(self._process.pid)

    def __enter__(self) -> "_Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def load_until_killed(self, seconds: float) -> dict[str, int]:
        """Post pictures, kill the server so many seconds later, and give the rows that it acknowledged."""
        picture = next((DEMO_BUNDLE / "goldens").glob("*.png")).read_bytes()
        with ThreadPoolExecutor(_CLIENTS) as clients:
            taken = [clients.submit(self._post_until_gone, picture) for _ in range(_CLIENTS)]
            time.sleep(seconds)
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            return {row: seq for client in taken for row, seq in client.result().items()}

    def wait_for_engine(self) -> float:
        """Give how long the killed server's engine outlived it."""
        began = time.perf_counter()
        while any(_lives(one) for one in self._engines):
            if time.perf_counter() - began > _READY_S:
                raise SystemExit("the engine's process outlives its server")
            time.sleep(0.005)
        return time.perf_counter() - began

    def _when_ready(self) -> str:
        assert self._process.stdout is not None
        url = str(json.loads(self._process.stdout.readline())["url"])
        deadline = time.perf_counter() + _READY_S
        while time.perf_counter() < deadline:
            try:
                with urllib.request.urlopen(f"{url}/v2/health/ready", timeout=5):
                    return url
            except urllib.error.URLError:
                time.sleep(0.01)
        raise SystemExit(f"not ready within {_READY_S:g} s")

    def _post_until_gone(self, picture: bytes) -> dict[str, int]:
        rows: dict[str, int] = {}
        while True:
            request = urllib.request.Request(f"{self._url}/v1/inspect", picture)
            request.add_header("Content-Type", "image/png")
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    told = json.loads(answer.read())
            except (OSError, ValueError):  # cut off by the kill
                return rows
            if told["stored"]:
                rows[str(told["result_id"])] = int(told["seq"])


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(one) for task in tasks for one in task.read_text().split()]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


if __name__ == "__main__":
    main()
