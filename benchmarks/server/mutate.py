"""Sends broken requests to a server and counts its answers: no 5xx but 503, and it stays alive.

python -m benchmarks.server.mutate http://127.0.0.1:8000 --count 20000
"""

import argparse
import gzip
import http.client
import io
import json
import random
import socket
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

_NUMBERS: tuple[object, ...] = (
    0,
    1,
    -1,
    2**31,
    2**63,
    2**64,
    10**30,
    0.5,
    1e308,
    True,
    None,
    "",
    "x",
    [],
    {},
    [[]],
)
_CODINGS = ("gzip", "deflate", "br", "identity", "gzip, gzip", "\u00e9")
_TEXTS = (b"\xff", b"\x00", b"%00", b"..%2f", b"9" * 40, b"-1", b"NaN", b"{", b"[" * 2000, b"\r\n")


@dataclass(slots=True)
class Request:
    """A request that is about to be broken."""

    path: str
    body: bytes
    headers: dict[str, str]
    method: str = "POST"


@dataclass(slots=True)
class Report:
    """What the answers were.

    Attributes:
        statuses: Answers by status; 0 where the server closed without one.
        faults: Answers of 500 and above but 501 and 503, as the request that led to each.
        seconds: Of the whole run.
        alive: How often the server was found alive, and how often it was asked.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    alive: tuple[int, int] = (0, 0)


def valid_requests(model: str) -> list[Request]:
    """Make requests that the server answers with 200, one of each kind."""
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    tensor = {"name": "IMAGE", "datatype": "UINT8", "shape": [1, 12, 16, 3]}
    named = {"id": "1", "parameters": {"binary_data_output": True, "priority": 1}}
    binary = {"inputs": [tensor | {"parameters": {"binary_data_size": image.nbytes}}]}
    plain = {"inputs": [tensor | {"data": image.ravel().tolist()}], "outputs": [{"name": "score"}]}
    text = json.dumps(binary | named).encode()
    length = {"Inference-Header-Content-Length": str(len(text))}
    infer, encoded = f"/v2/models/{model}/infer", f"/v2/models/{model}_encoded/infer"
    raw = text + image.tobytes()
    requests = [
        Request(infer, json.dumps(plain).encode(), {"Content-Type": "application/json"}),
        Request(infer, raw, length),
        Request(infer, gzip.compress(raw), length | {"Content-Encoding": "gzip"}),
        Request(infer, zlib.compress(raw), length | {"Content-Encoding": "deflate"}),
        Request("/v2/repository/index", b'{"ready": true}', {}),
    ]
    for kind in ("PNG", "JPEG", "BMP", "TIFF"):
        file = io.BytesIO()
        Image.fromarray(image).save(file, kind)
        data = file.getvalue()
        headers = {"Content-Type": f"image/{kind.lower()}"}
        requests.append(Request("/v1/inspect?part_id=7&map=png", data, headers))
        requests.append(Request(encoded, data, {"Inference-Header-Content-Length": "0"}))
    form = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
    form += data + b"\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return [*requests, Request("/v1/inspect", form, headers)]


def broken(request: Request, chance: random.Random) -> Request:
    """Break a copy of a request in one to three places."""
    copy = Request(request.path, request.body, dict(request.headers), request.method)
    for _ in range(chance.randint(1, 3)):
        chance.choice(_BREAKERS)(copy, chance)
    return copy


def _flip(request: Request, chance: random.Random) -> None:
    body = bytearray(request.body)
    for _ in range(chance.randint(1, 8)):
        if body:
            body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    request.body = bytes(body)


def _cut(request: Request, chance: random.Random) -> None:
    start, end = sorted(chance.randrange(len(request.body) + 1) for _ in range(2))
    request.body = request.body[:start] + request.body[end:]


def _insert(request: Request, chance: random.Random) -> None:
    place = chance.randrange(len(request.body) + 1)
    more = chance.choice((*_TEXTS, chance.randbytes(chance.randint(1, 64))))
    request.body = request.body[:place] + more + request.body[place:]


def _break_json(request: Request, chance: random.Random) -> None:
    """Replace one value somewhere in the JSON by one that does not belong there."""
    try:
        length = int(request.headers.get("Inference-Header-Content-Length") or len(request.body))
        record = json.loads(request.body[:length])
    except (ValueError, RecursionError):
        return
    place = record
    while isinstance(place, (dict, list)) and place:
        key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], (dict, list)) or chance.random() < 0.3:
            place[key] = chance.choice(_NUMBERS)
            break
        place = place[key]
    text = json.dumps(record).encode()
    if "Inference-Header-Content-Length" in request.headers:
        request.headers["Inference-Header-Content-Length"] = str(len(text))
    request.body = text + request.body[length:]


def _break_header(request: Request, chance: random.Random) -> None:
    name = chance.choice(
        [*request.headers, "Content-Encoding", "Content-Type", "Inference-Header-Content-Length"]
    )
    values = (*_CODINGS, "0", "-1", "99999999999", "x" * 3000, "text/plain", "a/b; boundary=", "")
    request.headers[name] = chance.choice(values)


def _break_path(request: Request, chance: random.Random) -> None:
    place = chance.randrange(1, len(request.path) + 1)
    more = chance.choice(("%00", "/..", "%2e%2e/", "?map=x", "%ff", "//", "&part_id=%0a", "\u00e9"))
    request.path = request.path[:place] + more + request.path[place:]


def _break_method(request: Request, chance: random.Random) -> None:
    request.method = chance.choice(("GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"))


def _lie_about_length(request: Request, chance: random.Random) -> None:
    request.headers["Content-Length"] = chance.choice(("0", str(len(request.body) // 2), "-5", "x"))


_BREAKERS: tuple[Callable[[Request, random.Random], None], ...] = (
    _flip,
    _cut,
    _insert,
    _break_json,
    _break_json,
    _break_header,
    _break_path,
    _break_method,
    _lie_about_length,
)


class Sender:
    """Sends requests over one connection, and opens another where the server closed it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._connection: socket.socket | None = None

    def send(self, request: Request) -> int:
        """Send a request as it is, and give the answer's status; 0 if there was none."""
        try:
            connection = self._connection or socket.create_connection(self._address, timeout=30)
            self._connection = connection
            connection.sendall(_wire(request, self._address[0]))
            answer = http.client.HTTPResponse(connection, method=request.method)
            answer.begin()
            answer.read()
            if answer.will_close or "Content-Length" in request.headers or answer.status >= 400:
                self.close()  # what follows could be read as the rest of a broken request
            return answer.status
        except (OSError, http.client.HTTPException):
            self.close()
            return 0

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _wire(request: Request, host: str) -> bytes:
    length = request.headers.get("Content-Length", "")
    if length.isdigit() and int(length) > len(request.body):
        del request.headers["Content-Length"]  # the server would wait for the rest, as it should
    headers = {"Host": host, "Content-Length": str(len(request.body))} | request.headers
    lines = [f"{request.method} {request.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("utf-8") + request.body


def run(url: str, model: str, count: int, seed: int) -> Report:
    """Send so many broken requests; after each 1,000 ask whether the server lives."""
    chance, sender, report = random.Random(seed), Sender(url), Report()
    requests, start = valid_requests(model), time.perf_counter()
    live = Request("/v2/health/live", b"", {}, "GET")
    for number in range(1, count + 1):
        request = broken(chance.choice(requests), chance)
        status = sender.send(request)
        report.statuses[status] += 1
        if status >= 500 and status not in (501, 503):
            report.faults.append(f"{status} {request.method} {request.path} {request.headers}")
        if number % 1000 == 0 or number == count:
            alive, asked = report.alive
            report.alive = (alive + (sender.send(live) == 200), asked + 1)
    report.seconds = time.perf_counter() - start
    sender.close()
    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; 1 if the server made a mistake."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--model", default="part")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    report = run(given.url, given.model, given.count, given.seed)
    statuses = {str(status): count for status, count in sorted(report.statuses.items())}
    print(
        json.dumps(
            {
                "count": given.count,
                "seconds": round(report.seconds, 1),
                "statuses": statuses,
                "alive": report.alive,
                "faults": report.faults[:20],
            }
        )
    )
    return int(bool(report.faults) or report.alive[0] < report.alive[1])


if __name__ == "__main__":
    sys.exit(main())
