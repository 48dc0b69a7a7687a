"""`/metrics` counts what Triton counts, under its names, and our own."""

import re

import numpy as np

from tests.runtime.server.app.fakes import FakePool, grey, served
from tests.runtime.server.app.test_protocol_routes import failing, infer
from vipx.runtime.server.work.faults import QueueFull

TRITON = (
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_count",
    "nv_inference_exec_count",
    "nv_inference_request_duration_us",
    "nv_inference_queue_duration_us",
    "nv_inference_compute_input_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us",
    "nv_inference_pending_request_count",
)
LINE = re.compile(r'[a-z_]+(\{([a-z]+="[^"\n]*",?)+\})? [0-9.e+-]+')


def test_every_line_is_one_that_prometheus_reads() -> None:
    server = served()
    infer(server, grey(10))
    answer = server.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    for line in answer.text.splitlines():
        assert line.startswith("# ") or LINE.fullmatch(line), line
    for name in TRITON:
        assert f"# TYPE {name} " in answer.text


def test_requests_images_and_verdicts_are_counted() -> None:
    server = served()
    infer(server, np.stack([grey(10), grey(250)]))
    infer(server, grey(10))
    text = server.ask("GET", "/metrics").text
    model = 'model="part",version="1"'
    for line in (
        f"nv_inference_request_success{{{model}}} 2",
        f"nv_inference_count{{{model}}} 3",
        f"nv_inference_compute_infer_duration_us{{{model}}} 9000",
        f"nv_inference_pending_request_count{{{model}}} 0",
        'vipx_verdicts_total{model="part",verdict="OK"} 2',
        'vipx_verdicts_total{model="part",verdict="NG"} 1',
        'vipx_request_seconds_count{model="part"} 2',
        'vipx_request_seconds_bucket{model="part",le="+Inf"} 2',
        'nv_inference_request_success{model="part_encoded",version="1"} 0',
        "vipx_ready 1",
        "vipx_engine_restarts_total 2",
        "vipx_held_body_bytes 0",
    ):
        assert line in text.splitlines(), line


def test_what_was_refused_is_counted_by_reason() -> None:
    server = served(failing(QueueFull(1.0)))
    infer(server, grey(1))
    text = server.ask("GET", "/metrics").text
    line = 'nv_inference_request_failure{model="part",version="1",reason="REJECTED"} 1'
    assert line in text.splitlines()


def test_a_name_cannot_break_a_line() -> None:
    server = served(FakePool(names=('a"b\\c\nd',)))
    text = server.ask("GET", "/metrics").text
    assert r'model="a\"b\\c\nd"' in text
