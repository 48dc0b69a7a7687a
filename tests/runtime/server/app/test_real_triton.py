"""What a real Triton answers to the same checks; what differs is listed, and in docs/server/protocol.md."""

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.server.app.test_triton_client import triton_checks

PYTHON = os.environ.get("VIPX_TRITON_PYTHON")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PYTHON is None, reason="VIPX_TRITON_PYTHON names no Python with pytriton"),
]

# What a real Triton does not pass, and how it fails; docs/server/protocol.md says why we do otherwise.
DIFFERENT = {
    "repository_index": None,  # pytriton's models lie in no repository
    "no_picture": re.escape("[500]"),
    "shared_memory_is_refused": re.escape("[404] Unable to find shared memory region"),
    "loading_is_not_offered": re.escape("[500] failed to load"),
    "extensions_left_out": "DID NOT RAISE",
}


@pytest.fixture(scope="module")
def target() -> Iterator[object]:
    ports = [free_port() for _ in range(3)]
    program = Path(__file__).with_name("real_triton.py")
    command = [str(PYTHON), str(program), *map(str, ports)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdin is not None
        assert "ready\n" in iter(running.stdout.readline, "")
        yield triton_checks.Target(f"127.0.0.1:{ports[0]}")
        running.stdin.close()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("name", triton_checks.CHECKS)
def test_a_real_triton_answers_the_same_but_where_it_is_listed(target: object, name: str) -> None:
    if name not in DIFFERENT:
        triton_checks.CHECKS[name](target)
        return
    with pytest.raises((AssertionError, pytest.fail.Exception), match=DIFFERENT[name]):
        triton_checks.CHECKS[name](target)
