"""Holds many connections open as slowly as possible, and says whether the server ended them in time.

    python -m benchmarks.server.slow_clients http://127.0.0.1:8000 part.jpg --sockets 200 --seconds 30

Three kinds: headers a line at a time, a body a byte at a time, and answers that are asked for and not fetched
before the time is up. The connections come from several loopback addresses (127.0.0.2 and on), as each has few.
Meanwhile another client inspects, and once without slow ones beside it.
"""

import argparse
import asyncio
import json
import socket
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.server.load import Load, percentiles, run

_EACH_ADDRESS = 50


def opening(kind: str) -> tuple[bytes, bytes]:
    """Give what a slow client sends first, and again and again."""
    if kind == "headers":
        return b"GET /v2 HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"X-A: b\r\n"
    if kind == "body":
        head = b"POST /v1/inspect HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
        return head + b"Content-Length: 100000\r\n\r\n", b"x"
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    return ask * 800, b""  # more than every buffer between holds


async def hold(url: str, kind: str, number: int, seconds: float) -> float | None:
    """Hold one connection; seconds until the server ended it, or None if it did not."""
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    first, more = opening(kind)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        connection.bind((f"127.0.0.{2 + number // _EACH_ADDRESS}", 0))
        start = time.monotonic()
        with suppress(OSError):
            await loop.sock_connect(connection, (parts.hostname or "", parts.port or 80))
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(loop.sock_sendall(connection, first), seconds)
            if not more:
                await asyncio.sleep(start + seconds - time.monotonic())
            end = start + seconds + (0.0 if more else 3.0)
            while time.monotonic() < end:
                await asyncio.sleep(0.5)
                if _is_over(connection):
                    return time.monotonic() - start
                await asyncio.wait_for(loop.sock_sendall(connection, more), seconds)
            return None
        return time.monotonic() - start


def _is_over(connection: socket.socket) -> bool:
    """Tell whether the server closed, by reading what there is."""
    try:
        while connection.recv(4096):
            pass
    except BlockingIOError:
        return False
    return True


async def attack(url: str, kind: str, sockets: int, seconds: float) -> dict[str, object]:
    """Hold many connections of one kind."""
    held = await asyncio.gather(*(hold(url, kind, n, seconds) for n in range(sockets)))
    ended = [one for one in held if one is not None]
    return {"sockets": sockets, "ended": len(ended), "seconds_to_end": percentiles(ended)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a connection outlived the run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("image", type=Path)
    parser.add_argument("--sockets", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args(arguments)
    headers = {"Content-Type": "application/octet-stream"}
    load = Load(given.url, "/v1/inspect", given.image.read_bytes(), headers, 1, 10.0)
    record: dict[str, object] = {"alone": run(load).record()["milliseconds"]}
    outlived = 0
    for kind in ("headers", "body", "answer"):
        with ThreadPoolExecutor(1) as pool:
            beside = pool.submit(run, load)
            result = asyncio.run(attack(given.url, kind, given.sockets, given.seconds))
            record[kind] = result | {"other_client": beside.result().record()}
        outlived += given.sockets - int(str(result["ended"]))
    print(json.dumps(record))
    return int(outlived > 0)


if __name__ == "__main__":
    sys.exit(main())
