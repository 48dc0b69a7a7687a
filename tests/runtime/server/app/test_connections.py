"""Nobody holds a connection open: headers, bodies and answers come in time, or the connection ends."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.runtime.server.app.fakes import FakePool, listening, outcome_of, served
from vipx.runtime.server.settings import Limits
from vipx.runtime.server.work.task import Outcome, Task

QUICK = Limits(
    header_s=0.3, body_s=0.4, idle_s=1.0, sockets_per_ip=6, header_bytes=4096, body_bytes=2**20
)
HEAD = b"POST /v1/inspect HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
GET = b"GET /v2/health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with listening(served(limits=QUICK).app, QUICK) as port:
        yield port


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        yield connection


def rest(connection: socket.socket) -> bytes:
    """Read until the server closes; a reset is a close too."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


def answered(connection: socket.socket) -> bytes:
    """Read one answer, to the end of its body."""
    found = b""
    while True:
        head, gap, body = found.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"]
        if gap and len(body) >= int(lengths[0][15:]):
            return found
        part = connection.recv(65536)
        assert part, found
        found += part


def status_of_a_new_connection(port: int) -> bytes:
    with connected(port) as connection:
        connection.sendall(GET)
        return answered(connection).split(b" ")[1]


def drip(first: bytes, more: bytes) -> Callable[[socket.socket], None]:
    """Send something, and then a byte now and again for as long as the server listens."""

    def send(connection: socket.socket) -> None:
        connection.sendall(first)
        connection.settimeout(0.05)
        for _ in range(200):
            try:
                connection.sendall(more)
                if connection.recv(1, socket.MSG_PEEK) is not None:
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    return send


@pytest.mark.parametrize(
    ("slow", "status", "limit"),
    [
        (drip(b"", b""), b"408", 0.3),
        (drip(b"GET /v2 HTTP/1.1\r\n", b"X: y\r\n"), b"408", 0.3),
        (drip(b"\r\n", b"\r\n"), b"408", 0.3),
        (drip(HEAD + b"Content-Length: 5000\r\n\r\n", b"x"), b"408", 0.4),
        (drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), b"408", 0.4),
    ],
    ids=["silent", "headers", "empty lines", "body", "chunks"],
)
def test_whoever_is_slow_is_told_and_cut_off(
    port: int, slow: Callable[[socket.socket], None], status: bytes, limit: float
) -> None:
    with connected(port) as connection:
        start = time.monotonic()
        slow(connection)
        connection.settimeout(10)
        answer = rest(connection)
        assert (
            time.monotonic() - start < limit + 5
        )  # the machine may be busy; the default is minutes
    assert answer.split(b" ")[1] == status
    body = answer.partition(b"\r\n\r\n")[2]
    assert json.loads(body)["error"]


def test_a_body_that_is_refused_at_once_is_not_read_for_ever(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(
            b"POST /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\nx"
        )
        assert answered(connection).split(b" ")[1] == b"404"
        drip(b"", b"x")(connection)
        connection.settimeout(10)
        rest(connection)


def test_a_body_beyond_the_limit_is_answered_while_it_is_sent(port: int) -> None:
    with connected(port) as connection:
        size = 2**20 + 1
        connection.sendall(HEAD + f"Content-Length: {size}\r\n\r\n".encode() + bytes(size))
        assert answered(connection).split(b" ")[1] == b"413"
        connection.sendall(GET)
        assert answered(connection).split(b" ")[1] == b"200"


def test_an_idle_connection_is_kept_for_the_next_request_and_then_closed(port: int) -> None:
    with connected(port) as connection:
        for _ in range(3):
            connection.sendall(GET)
            assert answered(connection).split(b" ")[1] == b"200"
            time.sleep(0.35)
        assert rest(connection) == b""


def test_long_headers_are_refused(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"y" * 5000)
        assert rest(connection).split(b" ")[1] == b"400"


@pytest.mark.parametrize(
    "text",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_in_json(port: int, text: bytes) -> None:
    with connected(port) as connection:
        connection.sendall(text)
        answer = rest(connection)
    assert answer.split(b" ")[1] == b"400"
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_another_protocol_is_not_spoken(port: int) -> None:
    with connected(port) as connection:
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n"
        connection.sendall(GET[:-2] + upgrade + b"\r\n")
        answer = rest(connection)
    assert answer.split(b" ")[1] == b"200"


def test_an_address_has_few_connections(port: int) -> None:
    held = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(6)]
    try:
        with connected(port) as connection:
            answer = rest(connection)
            assert answer.split(b" ")[1] == b"503"
            assert b"retry-after: 1" in answer
    finally:
        for one in held:
            one.close()


def test_a_refused_connection_gives_its_place_back(port: int) -> None:
    for _ in range(30):
        with connected(port) as connection:
            connection.sendall(GET)
            assert answered(connection).split(b" ")[1] == b"200"


def test_an_answer_that_nobody_fetches_is_given_up() -> None:
    def large(task: Task) -> Outcome:
        import numpy as np

        return outcome_of(task, anomaly_map=np.zeros((1500, 1500), np.float32))

    with (
        listening(served(FakePool(answer=large)).app, QUICK) as port,
        socket.socket() as connection,
    ):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        body = b'{"inputs":[{"name":"IMAGE","datatype":"UINT8","shape":[1,1,1,3],"data":[1,2,3]}],'
        body += b'"parameters":{"binary_data_output":true}}'
        path = b"POST /v2/models/part/infer HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        connection.sendall(path + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        time.sleep(1.5)
        connection.settimeout(10)
        assert len(rest(connection)) < 9_000_000


def test_a_client_that_leaves_does_no_harm(port: int) -> None:
    for _ in range(20):
        with connected(port) as connection:
            connection.sendall(HEAD + b"Content-Length: 5000\r\n\r\nx")
    deadline = time.monotonic() + 5
    while status_of_a_new_connection(port) != b"200":  # the server has not seen all of them leave
        assert time.monotonic() < deadline


def test_few_requests_wait_on_one_connection(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(GET * 5)
        found = b""
        while found.count(b"HTTP/1.1 200") < 5:
            part = connection.recv(65536)
            assert part, found
            found += part
    with connected(port) as connection:
        connection.sendall(GET * 800)
        assert rest(connection).count(b"HTTP/1.1 200") <= 10
