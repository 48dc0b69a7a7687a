"""Loads a server, closed or open loop, for a bounded time, and says how it answered.

    python -m benchmarks.server.load http://127.0.0.1:8000 part.jpg --clients 8 --seconds 10
    python -m benchmarks.server.load http://127.0.0.1:8000 part.jpg --rate 50 --seconds 10

Closed loop: each client posts its next picture when the last is answered. Open loop: pictures are due at a
fixed rate whatever the server does, and a latency counts from when its picture was due. At most `--clients` are
under way; what is due beyond them is counted as dropped.
"""

import argparse
import http.client
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

_MOST_CLIENTS = 512
_MOST_SECONDS = 3600.0
_MOST_RATE = 10_000.0


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent.

    Attributes:
        url: Of the server.
        path: With query.
        body: The same for every request.
        headers: Of every request.
        clients: Connections, one thread each.
        seconds: How long.
        rate: Requests a second of all clients together; None for a closed loop.
    """

    url: str
    path: str
    body: bytes
    headers: dict[str, str]
    clients: int = 1
    seconds: float = 10.0
    rate: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.clients <= _MOST_CLIENTS or not 0 < self.seconds <= _MOST_SECONDS:
            raise ValueError(f"expected 1 to {_MOST_CLIENTS} clients and up to {_MOST_SECONDS} s")
        if self.rate is not None and not 0 < self.rate <= _MOST_RATE:
            raise ValueError(f"expected a rate of up to {_MOST_RATE} a second")


@dataclass(slots=True)
class Measured:
    """What came back.

    Attributes:
        statuses: Answers by status; 0 for none.
        milliseconds: Of every answer of 200.
        refused: The same of every answer of 503.
        dropped: Requests of an open loop that no client was free for.
        torn: Requests that were sent and had no whole answer; a connection that was refused is not among them.
        seconds: From the first request to the last answer.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    dropped: int = 0
    torn: int = 0
    seconds: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, status: int, milliseconds: float) -> None:
        """Count one answer."""
        with self.lock:
            self.statuses[status] += 1
            if status == 200:
                self.milliseconds.append(milliseconds)
            elif status == 503:
                self.refused.append(milliseconds)

    def tear(self) -> None:
        """Count a request that was sent in vain."""
        with self.lock:
            self.torn += 1

    def record(self) -> dict[str, object]:
        """Summarise."""
        return {
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "seconds": round(self.seconds, 2),
            "answered_per_second": round(self.statuses[200] / self.seconds, 1),
            "milliseconds": percentiles(self.milliseconds),
            "refused_milliseconds": percentiles(self.refused),
            "dropped": self.dropped,
            "torn": self.torn,
        }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Give p50, p95, p99 and the largest; nothing for no values."""
    if not values:
        return {}
    marks = np.percentile(values, [50, 95, 99, 100])
    names = ("p50", "p95", "p99", "max")
    return {name: round(float(mark), 3) for name, mark in zip(names, marks, strict=True)}


class Schedule:
    """Says when the next request of an open loop is due; a closed loop's is due at once."""

    def __init__(self, load: Load) -> None:
        self._lock = threading.Lock()
        self._start = time.perf_counter()
        self._end = self._start + load.seconds
        self._gap = None if load.rate is None else 1 / load.rate
        self._slack = load.clients * (self._gap or 0.0)
        self._given = 0
        self.dropped = 0

    def next(self) -> float | None:
        """Give the moment of the next request; None when time is up."""
        now = time.perf_counter()
        if self._gap is None:
            return now if now < self._end else None
        with self._lock:
            due = self._start + self._given * self._gap
            while due < now - self._slack - 1.0:  # a second late: nobody was free for it
                self._given += 1
                self.dropped += 1
                due += self._gap
            self._given += 1
        return due if due < self._end else None


def run(load: Load) -> Measured:
    """Send, and measure."""
    measured, schedule = Measured(), Schedule(load)
    start = time.perf_counter()
    threads = [
        threading.Thread(target=_client, args=(load, schedule, measured))
        for _ in range(load.clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    measured.seconds = time.perf_counter() - start
    measured.dropped = schedule.dropped
    return measured


def _client(load: Load, schedule: Schedule, measured: Measured) -> None:
    parts = urlsplit(load.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    while (due := schedule.next()) is not None:
        if (wait := due - time.perf_counter()) > 0:
            time.sleep(wait)
        try:
            connection.request("POST", load.path, load.body, load.headers)
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            status = 0
            if not isinstance(error, ConnectionRefusedError):
                measured.tear()
        measured.add(status, 1000 * (time.perf_counter() - due))
    connection.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("image", type=Path)
    parser.add_argument("--recipe")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float)
    given = parser.parse_args(arguments)
    path = "/v1/inspect" + (f"?recipe={given.recipe}" if given.recipe else "")
    headers = {"Content-Type": "application/octet-stream"}
    body = given.image.read_bytes()
    load = Load(given.url, path, body, headers, given.clients, given.seconds, given.rate)
    print(json.dumps(run(load).record()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
