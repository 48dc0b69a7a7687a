"""`vipx serve-local --config`: folders, a camera, sinks and storage rules, with the real server process."""

import csv
import hashlib
import hmac
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from click.testing import CliRunner, Result

from vipx.commands.serve_local import serve_local
from vipx.console import VipxGroup

BUNDLE = Path(__file__).parents[2] / "vipx" / "demo" / "bundle.vipx"
PICTURE = next((BUNDLE / "goldens").glob("*.png")).read_bytes()
SECRET = "a secret of enough characters"
PROGRAM = """
from vipx.commands.serve_local import serve_local
from vipx.console import VipxGroup
main = VipxGroup(commands=[serve_local])
if __name__ == "__main__":
    main()
"""


def vipx(*arguments: object) -> Result:
    main = VipxGroup(commands=[serve_local])
    return CliRunner().invoke(main, [str(one) for one in arguments])


@pytest.mark.parametrize(
    ("text", "told", "code"),
    [
        ("[[folder]]\npth = 'in'", "folder[1].path: is missing", 2),
        ("[[webhook]]\nurl = 'http://x/'\nsecret_file = 'none'", "none", 3),
        ("[storage]\nsecret = 1", "storage.secret: no secret stands in this file", 2),
    ],
)
def test_a_wrong_line_is_refused_before_anything_starts(
    text: str, told: str, code: int, tmp_path: Path
) -> None:
    config = tmp_path / "line.toml"
    config.write_text(text)
    result = vipx("serve-local", BUNDLE, "--data", tmp_path / "data", "--config", config)
    assert (result.exit_code, told in result.output) == (code, True), result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not (tmp_path / "data").exists()


@dataclass
class Running:
    """A server process with its folder."""

    folder: Path
    process: subprocess.Popen[str]
    url: str
    pictures: Path = field(init=False)

    def __post_init__(self) -> None:
        self.pictures = self.folder / "in"

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return str(answer.read().decode())

    def post(self, path: str) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(self.url + path, b"", method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def results(self) -> list[dict[str, str]]:
        text = self.get("/history/export.csv").removeprefix("\ufeff")
        return list(csv.DictReader(text.splitlines()))

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@contextmanager
def server(folder: Path, config: str) -> Iterator[Running]:
    (folder / "in").mkdir(parents=True, exist_ok=True)
    program, line = folder / "program.py", folder / "line.toml"
    program.write_text(PROGRAM)
    line.write_text(config)
    command = [sys.executable, str(program), "serve-local", str(BUNDLE), "--port", "0", "--json"]
    options = ["--data", str(folder / "data"), "--threshold", "0.5", "--timeout-ms", "60000"]
    process = subprocess.Popen(
        [*command, *options, "--config", str(line)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield Running(folder, process, json.loads(process.stdout.readline())["url"])
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        threading.Event().wait(0.05)


class Receiver(ThreadingHTTPServer):
    """Takes messages, and remembers their ids; refuses those that are not signed well."""

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.took: list[dict[str, Any]] = []
        self.forged = 0


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signed = self.headers["Vipx-Timestamp"].encode() + b"." + body
        expected = "sha256=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        if hmac.compare_digest(expected, self.headers["Vipx-Signature"]):
            self.server.took.append(json.loads(body))
        else:
            self.server.forged += 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def receiving(port: int) -> Iterator[Receiver]:
    receiver = Receiver(port)
    thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.shutdown()
        thread.join()
        receiver.server_close()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def config_of(folder: Path, port: int) -> str:
    secret = folder / "mes.secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    return (
        "[[folder]]\nname = 'station'\npath = 'in'\ndone = 'done'\ninterval_s = 0.05\n"
        "unreadable_s = 6\n"
        f"[[webhook]]\nname = 'mes'\nurl = 'http://127.0.0.1:{port}/'\nsecret_file = 'mes.secret'\n"
        "[[csv]]\nname = 'shift'\nfolder = 'tables'\n"
    )


@pytest.mark.slow
def test_a_picture_goes_from_the_folder_to_every_sink_through_outage_and_kill(
    tmp_path: Path,
) -> None:
    port = free_port()
    config = config_of(tmp_path, port)
    with server(tmp_path, config) as running:
        writing = running.pictures / "slow.png"
        with writing.open("wb") as file:  # half-written, and growing
            for byte in range(40):
                file.write(PICTURE[byte : byte + 1])
                file.flush()
                threading.Event().wait(0.01)
            (running.pictures / "P-1.png").write_bytes(PICTURE)
            until(lambda: (tmp_path / "done/ok/P-1.png").exists())
            assert [row["part_id"] for row in running.results()] == ["P-1"]
            file.write(PICTURE[40:])
        until(lambda: (tmp_path / "done/ok/slow.png").exists())
        (running.pictures / "broken.png").write_bytes(b"no picture")
        until(lambda: (tmp_path / "done/failed/broken.png").exists())
        (row, _) = running.results()
        assert (row["source"], row["verdict"] in ("OK", "NG")) == ("folder:station", True)
        tables = list((tmp_path / "tables").glob("shift-*.csv"))
        until(lambda: sum(len(one.read_text().splitlines()) for one in tables) == 3)
        until(lambda: "no answer from the receiver" in running.get("/system"))
        metrics = running.get("/metrics")
        assert 'vipx_sink_waiting{sink="mes",kind="webhook"} 2' in metrics
        assert 'vipx_peer_alarm{sink="mes",kind="webhook"} 1' in metrics
        assert running.end(signal.SIGKILL) == -signal.SIGKILL
    with receiving(port) as receiver, server(tmp_path, config) as running:
        until(lambda: len(receiver.took) == 2)
        assert [one["part_id"] for one in receiver.took] == ["P-1", "slow"]
        (running.pictures / "P-3.png").write_bytes(PICTURE)
        until(lambda: len(receiver.took) == 3)
        assert receiver.forged == 0
        assert len({one["result_id"] for one in receiver.took}) == 3
        until(lambda: 'vipx_sink_waiting{sink="mes",kind="webhook"} 0' in running.get("/metrics"))
        assert running.end() == 0


@pytest.mark.slow
def test_a_receiver_that_comes_back_gets_what_waited_while_the_server_ran(tmp_path: Path) -> None:
    port = free_port()
    with server(tmp_path, config_of(tmp_path, port)) as running:
        (running.pictures / "P-1.png").write_bytes(PICTURE)
        until(lambda: "no answer from the receiver" in running.get("/system"))
        with receiving(port) as receiver:
            until(lambda: len(receiver.took) == 1)
            until(lambda: "! mes" not in running.get("/system"))
            assert running.end() == 0


@pytest.mark.slow
def test_a_trigger_over_http_inspects_a_frame_that_is_kept_without_loss(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    movie = str(tmp_path / "line.avi")
    writer = cv2.VideoWriter(movie, cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (64, 48))
    for _ in range(50):
        writer.write(np.full((48, 64, 3), (10, 20, 200), np.uint8))
    writer.release()
    config = (
        f"[[camera]]\nname = 'top'\naddress = '{movie}'\nretry_s = 0.05\nframe_timeout_ms = 20000\n"
        "timeout_ms = 60000\n"
    )
    with server(tmp_path, config) as running:
        status, answer = running.post("/v1/trigger/top?part_id=P-9")
        assert (status, answer["part_id"], answer["stored"]) == (200, "P-9", True), answer
        assert answer["image_size"] == [48, 64]
        until(lambda: running.results()[0]["image"] != "")
        (row,) = running.results()
        assert row["source"] == "camera:top"
        assert row["image"].endswith(".png")
        assert running.post("/v1/trigger/side")[0] == 404
        assert running.end() == 0
    from PIL import Image

    with Image.open(tmp_path / "data" / row["image"]) as kept:
        assert kept.size == (64, 48)


@pytest.mark.slow
def test_results_are_kept_by_the_files_count(tmp_path: Path) -> None:
    config = (
        "[[folder]]\npath = 'in'\ndone = 'done'\ninterval_s = 0.02\n"
        "[storage]\nsweep_s = 0.05\n[storage.ok]\ncount = 3\n[storage.ng]\ncount = 3\n"
    )
    with server(tmp_path, config) as running:
        for number in range(8):
            (running.pictures / f"P-{number}.png").write_bytes(PICTURE)
            until((tmp_path / f"done/ok/P-{number}.png").exists)
        until(lambda: len(running.results()) == 3)
        parts = sorted(row["part_id"] for row in running.results())
        assert parts == ["P-5", "P-6", "P-7"]
        kept = {path.name.partition(".")[0] for path in (tmp_path / "data/data").rglob("*.png")}
        assert kept == {row["result_id"] for row in running.results()}
        assert running.end() == 0


@pytest.mark.slow
def test_an_open_live_page_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with server(tmp_path, "") as running:
        address = urlsplit(running.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        connection.request("GET", "/events")
        events = connection.getresponse()
        assert events.readline().startswith(b"data: ")
        started = time.monotonic()
        assert running.end() == 0
        spent = time.monotonic() - started
        events.close()
        connection.close()
    assert spent < 5.0, f"{spent:.1f} s; the drain alone may take 10 s"


@pytest.mark.slow
def test_pictures_that_were_taken_are_answered_when_the_server_ends(tmp_path: Path) -> None:
    config = "[[folder]]\npath = 'in'\ndone = 'done'\ninterval_s = 0.02\n"
    with server(tmp_path, config) as running:
        for number in range(30):
            whole = running.folder / f"P-{number}.png"
            whole.write_bytes(PICTURE)
            whole.rename(running.pictures / whole.name)
        until(lambda: any((tmp_path / "done").glob("ok/*")))
        assert running.end() == 0
    with server(tmp_path, config) as running:
        until(lambda: len(list((tmp_path / "done/ok").iterdir())) == 30)
        parts = [row["part_id"] for row in running.results()]
        assert len(parts) == len(set(parts)) == 30
        assert running.end() == 0
