"""`vipx serve-local` and `vipx client`: refused where they would be unsafe, and one whole run of both."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from tests.runtime.server.app.fakes import TOKEN, grey, listening, served
from vipx.commands.client import client
from vipx.commands.serve_local import serve_local
from vipx.console import VipxGroup
from vipx.runtime.server.app.safety.passwords import is_password
from vipx.runtime.server.heap import ENGINE, FRONT, glibc

BUNDLE = Path(__file__).parents[2] / "vipx" / "demo" / "bundle.vipx"
PROGRAM = """
import click
from vipx.commands.client import client
from vipx.commands.serve_local import serve_local
from vipx.console import VipxGroup
main = VipxGroup(commands=[client, serve_local])
if __name__ == "__main__":
    main()
"""


def vipx(*arguments: object, **options: object) -> Result:
    main = VipxGroup(commands=[client, serve_local])
    return CliRunner().invoke(main, [str(one) for one in arguments], **options)  # type: ignore[arg-type]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "options",
    [
        ["--host", "0.0.0.0"],
        ["--host", "0.0.0.0", "--allow-host", "line7"],
        ["--host", "192.168.1.5", "--allow-host", "line7"],
        ["--host", "::"],
    ],
)
def test_off_loopback_without_token_it_refuses_to_start(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VIPX_TOKEN", raising=False)
    result = vipx("serve-local", BUNDLE, "--data", tmp_path / "data", *options)
    assert result.exit_code == 2
    assert "--token-file" in result.output
    assert not (tmp_path / "data").exists()


def test_off_loopback_without_names_it_refuses_to_start(secret: Path, tmp_path: Path) -> None:
    result = vipx(
        "serve-local", BUNDLE, "--data", tmp_path, "--host", "0.0.0.0", "--token-file", secret
    )
    assert result.exit_code == 2
    assert "--allow-host" in result.output


@pytest.mark.parametrize("text", ["", "short", "with a\nline break in the middle of it"])
def test_a_weak_token_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    assert vipx("serve-local", BUNDLE, "--data", tmp_path, "--token-file", path).exit_code == 2


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    data = ("--data", tmp_path / "data")
    result = vipx("serve-local", BUNDLE, *data, "--token-file", missing)
    assert (result.exit_code, "missing" in result.output) == (3, True)
    result = vipx("serve-local", BUNDLE, *data, "--recipe", missing)
    assert (result.exit_code, "missing" in result.output) == (4, True)
    assert vipx("serve-local", *data).exit_code == 2
    assert vipx("serve-local", BUNDLE, *data, "--review", "0.3").exit_code == 2


def test_a_port_that_is_taken_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = vipx("serve-local", BUNDLE, "--data", tmp_path / "data", "--port", port)
    assert result.exit_code == 7
    assert str(port) in result.output


def test_an_engineers_password_is_stored_as_a_hash(tmp_path: Path) -> None:
    entered = "correct horse\ncorrect horse\n"
    result = vipx("serve-local", "--data", tmp_path, "--set-engineer-password", input=entered)
    assert result.exit_code == 0, result.output
    path = tmp_path / "engineer.scrypt"
    assert is_password("correct horse", path.read_text().strip())
    assert path.stat().st_mode & 0o077 == 0
    assert "correct horse" not in result.output + path.read_text()
    short = vipx("serve-local", "--data", tmp_path, "--set-engineer-password", input="a\na\n")
    assert short.exit_code == 2


@contextmanager
def fake_server(**settings: Any) -> Iterator[str]:
    with listening(served(**settings).app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(grey(51, 20, 30)).save(folder / "a good.png")
    Image.fromarray(grey(250, 20, 30)).save(folder / "b bad ü.jpg")
    return folder


def test_client_prints_a_verdict_for_each_picture(pictures: Path) -> None:
    with fake_server() as url:
        result = vipx("client", url, pictures)
        rows = vipx("client", url, pictures, "--json", "--fail-on-ng")
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["OK", "NG"]
    assert rows.exit_code == 10
    records = [json.loads(line) for line in rows.stdout.splitlines()]
    assert [one["part_id"] for one in records] == ["a good.png", "b bad ü.jpg"]
    assert [one["seq"] for one in records] == [3, 4]


def test_client_writes_maps(pictures: Path, tmp_path: Path) -> None:
    with fake_server() as url:
        result = vipx("client", url, pictures, "--maps", tmp_path / "maps")
    assert result.exit_code == 0, result.output
    maps = sorted((tmp_path / "maps").iterdir())
    assert [one.name for one in maps] == ["a good.png.png", "b bad ü.jpg.png"]
    with Image.open(maps[0]) as first:
        assert first.size == (8, 6)


def test_client_goes_on_after_a_broken_picture(pictures: Path) -> None:
    (pictures / "a broken.png").write_bytes(b"no picture")
    with fake_server() as url:
        result = vipx("client", url, pictures)
    assert result.exit_code == 3
    verdicts = [line.split()[0] for line in result.stdout.splitlines()]
    assert verdicts == ["ERROR", "OK", "NG"]


def test_client_says_that_nobody_answers(pictures: Path) -> None:
    result = vipx("client", "http://127.0.0.1:9", pictures)
    assert result.exit_code == 5
    assert "does not answer" in result.output


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "ftp://x", "http://", "http://x:y", "http://x/y"]
)
def test_client_takes_a_url(url: str, pictures: Path) -> None:
    assert vipx("client", url, pictures).exit_code == 2


def test_client_carries_the_token(pictures: Path, secret: Path) -> None:
    with fake_server(host="0.0.0.0", hosts=("line7",), token=TOKEN) as url:
        assert vipx("client", url, pictures, "--token-file", secret).exit_code == 0
        refused = vipx("client", url, pictures)
    assert refused.exit_code == 3
    assert "token" in refused.output


@contextmanager
def process(tmp_path: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the real server, and give it with its address once it is ready."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), "serve-local", str(BUNDLE), "--port", "0", "--json"]
    environment = os.environ | {"PYTHONWARNINGS": "default"}
    server = subprocess.Popen(
        [*command, "--data", str(tmp_path / "data"), "--timeout-ms", "60000", *options],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert server.stdout is not None
        yield server, json.loads(server.stdout.readline())["url"]
    finally:
        if server.poll() is None:
            server.kill()
        server.wait(10)
        assert server.stdout is not None
        server.stdout.close()


@pytest.mark.slow
def test_a_whole_run_from_start_to_sigterm(tmp_path: Path) -> None:
    goldens = BUNDLE / "goldens"
    with process(tmp_path, "--threshold", "0.5") as (server, url):
        result = vipx("client", url, goldens, "--json")
        assert result.exit_code == 0, result.output
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        assert any(row["stored"] for row in rows)  # all of them, where the disk answers in time
        assert {row["verdict"] for row in rows} <= {"OK", "NG"}
        server.send_signal(signal.SIGTERM)
        assert server.wait(15) == 0


def heaps_of_threads(process: int) -> int:
    """Count glibc's heaps beside the main one: 64 MiB of addresses at a multiple of that, begun to be used."""
    size, found = 64 * 2**20, 0
    rows = [line.split() for line in Path(f"/proc/{process}/maps").read_text().splitlines()]
    for (used, *first), (rest, *second) in pairwise(rows):
        start, end_of_used = (int(edge, 16) for edge in used.split("-"))
        next_start, end = (int(edge, 16) for edge in rest.split("-"))
        at_place = start % size == 0 and end_of_used == next_start and end - start == size
        plain = len(first) == len(second) == 4  # neither is a file's
        found += at_place and plain and (first[0], second[0]) == ("rw-p", "---p")
    return found


@pytest.mark.slow
@pytest.mark.skipif(glibc() is None, reason="the C library is not glibc")
def test_both_processes_keep_to_the_heaps_that_they_were_given(tmp_path: Path) -> None:
    """Each thread that decodes or stores a picture would otherwise take one of its own, when it first does."""
    from benchmarks.server.load import Load, run
    from benchmarks.server.soak import family

    picture = next((BUNDLE / "goldens").glob("*.png")).read_bytes()
    with process(tmp_path) as (server, url):
        run(Load(url, "/v1/inspect", picture, {"Content-Type": "image/png"}, 8, 1.5))
        front, engine = family(server.pid)
        assert heaps_of_threads(front) <= FRONT.heaps - 1
        assert heaps_of_threads(engine) == ENGINE.heaps - 1 == 0
        assert len(list(Path(f"/proc/{engine}/task").iterdir())) > 4
        server.send_signal(signal.SIGTERM)
        assert server.wait(15) == 0


def anonymous(process: int) -> int:
    """Give the bytes that a process holds for itself."""
    rows = Path(f"/proc/{process}/status").read_text().splitlines()
    return 1024 * next(int(row.split()[1]) for row in rows if row.startswith("RssAnon"))


@pytest.mark.slow
@pytest.mark.skipif(glibc() is None, reason="the C library is not glibc")
def test_what_waiting_frames_took_goes_back_to_the_system(tmp_path: Path) -> None:
    from benchmarks.server.http_overhead import frame_load, picture
    from benchmarks.server.load import run

    with process(tmp_path, "--threshold", "0.5", "--timeout-ms", "30000") as (server, url):
        before, most = anonymous(server.pid), 0
        load = frame_load(url, "bundle", picture(1400), 3.0)
        with ThreadPoolExecutor(1) as pool:
            loading = pool.submit(run, load)
            while not loading.done():
                most = max(most, anonymous(server.pid))
                time.sleep(0.02)
        assert most > before + 80 * 10**6
        end = time.monotonic() + 60
        # The Live screen's dozen of small copies stays: 18 MB.
        while (held := anonymous(server.pid)) > before + 40 * 10**6:
            assert time.monotonic() < end, held - before
            time.sleep(0.2)
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


@pytest.mark.slow
def test_at_sigterm_every_accepted_request_is_answered(tmp_path: Path) -> None:
    from benchmarks.server.load import Load, run

    picture = next((BUNDLE / "goldens").glob("*.png")).read_bytes()
    for round_ in range(20 if os.environ.get("VIPX_FULL") == "1" else 2):
        with process(tmp_path, "--threshold", "0.5") as (server, url):
            load = Load(url, "/v1/inspect", picture, {"Content-Type": "image/png"}, 4, 1.5)
            ending = threading.Timer(0.5 + 0.02 * round_, server.send_signal, [signal.SIGTERM])
            ending.start()
            measured = run(load)
            ending.join()
            assert server.wait(20) == 0
            assert measured.torn == 0, measured.record()
            assert set(measured.statuses) <= {0, 200, 503}
            assert measured.statuses[200] > 0


@pytest.mark.slow
def test_systemd_is_told_and_its_watchdog_fed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(address))
        channel.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        with process(tmp_path) as (server, _):
            told: list[str] = []
            while told.count("WATCHDOG=1") < 3:
                told += channel.recv(4096).decode().split("\n")
            server.send_signal(signal.SIGTERM)
            assert server.wait(15) == 0
        channel.setblocking(False)
        while True:
            try:
                told += channel.recv(4096).decode().split("\n")
            except BlockingIOError:
                break
    assert told[0].startswith("EXTEND_TIMEOUT_USEC=")
    assert told.count("READY=1") == told.count("STOPPING=1") == 1
    assert told.index("READY=1") < told.index("STOPPING=1")
    assert any(re.match(r"STATUS=onnxruntime", line) for line in told)


def test_both_commands_have_help() -> None:
    for name in ("serve-local", "client"):
        result = vipx(name, "--help")
        assert result.exit_code == 0
        assert isinstance(serve_local, click.Command)
        assert "--json" in result.output
