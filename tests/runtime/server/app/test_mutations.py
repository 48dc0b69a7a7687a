"""Broken requests are refused, and the server lives on."""

import os

import pytest

from benchmarks.server.mutate import main, run
from tests.runtime.server.app.fakes import listening, served
from vipx.runtime.server.settings import Limits

COUNT = 20_000 if os.environ.get("VIPX_FULL") == "1" else 200


def test_broken_requests_are_never_our_fault(capsys: pytest.CaptureFixture[str]) -> None:
    limits = Limits(header_s=0.5, body_s=0.5, sockets_per_ip=1000)
    server = served(limits=limits)
    with listening(server.app, limits) as port:
        report = run(f"http://127.0.0.1:{port}", "part", COUNT, seed=1)
        assert main([f"http://127.0.0.1:{port}", "--count", "20"]) == 0
    print(report.statuses, report.seconds)
    assert report.faults == []
    assert report.alive[0] == report.alive[1] > 0
    assert sum(report.statuses.values()) == COUNT
    assert report.statuses[200] > 0
    assert report.statuses[400] > COUNT / 10
