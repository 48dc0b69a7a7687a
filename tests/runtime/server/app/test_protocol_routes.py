"""`/v2` answers as the protocol says, and every mistake of a client with its own status."""

import gzip
import json
import zlib
from dataclasses import replace
from typing import Any

import httpx2
import numpy as np
import pytest

from tests.pictures import saved, scene
from tests.runtime.server.app.fakes import FakePool, Served, error_of, grey, outcome_of, served
from vipx.runtime.server.settings import Limits
from vipx.runtime.server.work.faults import EngineDown, QueueFull, TooLate
from vipx.runtime.server.work.task import Outcome, Task
from vipx.verdict import Verdict

LENGTH = "Inference-Header-Content-Length"


def jpeg(value: int = 200) -> bytes:
    from PIL import Image

    return saved(Image.fromarray(grey(value, 16, 16)), "JPEG")


def request_for(image: np.ndarray, **changes: Any) -> tuple[bytes, dict[str, str]]:
    """A binary request and its headers."""
    images = image if image.ndim == 4 else image[None]
    tensor = {
        "name": "IMAGE",
        "datatype": "UINT8",
        "shape": list(images.shape),
        "parameters": {"binary_data_size": images.nbytes},
    }
    record: dict[str, Any] = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    text = json.dumps(record | changes).encode()
    headers = {LENGTH: str(len(text)), "Content-Type": "application/octet-stream"}
    return text + images.tobytes(), headers


def infer(server: Served, image: np.ndarray, **changes: Any) -> httpx2.Response:
    body, headers = request_for(image, **changes)
    return server.ask("POST", "/v2/models/part/infer", content=body, headers=headers)


def tensors(response: httpx2.Response) -> dict[str, np.ndarray]:
    """Unpack a binary answer."""
    assert response.status_code == 200, response.text
    length = int(response.headers[LENGTH])
    record, place, found = json.loads(response.content[:length]), length, {}
    for output in record["outputs"]:
        size = output["parameters"]["binary_data_size"]
        dtype = {"FP32": "<f4", "UINT8": "u1"}[output["datatype"]]
        raw = response.content[place : place + size]
        found[output["name"]] = np.frombuffer(raw, dtype).reshape(output["shape"])
        place += size
    assert place == len(response.content)
    return found


def test_the_server_says_what_it_speaks() -> None:
    record = served().ask("GET", "/v2").json()
    assert record["name"] == "vipx"
    assert {"binary_tensor_data", "statistics", "model_configuration"} <= set(record["extensions"])


@pytest.mark.parametrize("path", ["live", "ready"])
def test_health_is_an_empty_answer(path: str) -> None:
    answer = served().ask("GET", f"/v2/health/{path}")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_server_without_engine_lives_and_is_not_ready() -> None:
    server = served(FakePool(ready=False))
    assert server.ask("GET", "/v2/health/live").status_code == 200
    for path in ("/v2/health/ready", "/v2/models/part/ready"):
        answer = server.ask("GET", path)
        error_of(answer, 503)
        assert answer.headers["retry-after"] == "1"


def test_a_server_that_ends_is_not_ready_and_still_answers() -> None:
    server = served()
    server.inspecting.ending.set()
    error_of(server.ask("GET", "/v2/health/ready"), 503)
    assert infer(server, grey(10)).status_code == 200


def test_pixels_in_binary_give_all_outputs_in_binary() -> None:
    found = tensors(infer(served(), grey(51)))
    assert found["score"] == pytest.approx(0.2)
    assert found["verdict"].tolist() == [[0]]
    assert found["threshold"].tolist() == [[0.5]]
    assert found["anomaly_map"].shape == (1, 6, 8)


def test_a_batch_is_answered_in_its_order() -> None:
    server = served()
    images = np.stack([grey(0), grey(255), grey(51)])
    found = tensors(infer(server, images))
    np.testing.assert_allclose(found["score"].ravel(), [0, 1, 0.2], atol=1e-6)
    assert found["verdict"].ravel().tolist() == [0, 1, 0]
    assert len(server.store.records) == 3
    np.testing.assert_array_equal(server.pool.tasks[1].image, grey(255))


def test_json_in_and_out() -> None:
    record = {
        "id": "7",
        "inputs": [
            {"name": "IMAGE", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [255, 255, 255]}
        ],
        "outputs": [{"name": "verdict"}],
    }
    answer = served().ask("POST", "/v2/models/part/versions/1/infer", json=record)
    assert answer.headers["content-type"] == "application/json"
    assert LENGTH not in answer.headers
    result = answer.json()
    assert (result["id"], result["model_name"], result["model_version"]) == ("7", "part", "1")
    assert result["outputs"] == [
        {"name": "verdict", "datatype": "UINT8", "shape": [1, 1], "data": [1]}
    ]


def test_an_answer_says_what_made_it() -> None:
    server = served()
    parameters = {"part_id": "P-1", "binary_data_output": False}
    answer = infer(server, grey(51), parameters=parameters).json()["parameters"]
    record = server.store.records[0]
    assert answer == {
        "engine": "fake 1.0 on cpu",
        "model_sha256": "ab" * 32,
        "queue_us": 10,
        "preprocess_us": 20,
        "infer_us": 3000,
        "postprocess_us": 40,
        "result_id": record.result_id,
        "seq": 1,
        "stored": True,
        "part_id": "P-1",
    }
    assert (record.part_id, record.source, record.image) == ("P-1", "http", None)


def test_a_map_that_nobody_wants_is_not_sent() -> None:
    server = served(keep_maps="none")
    found = tensors(infer(server, grey(51), outputs=[{"name": "score"}]))
    assert set(found) == {"score"}
    assert server.pool.tasks[0].maps == "none"


@pytest.mark.parametrize(("priority", "expected"), [(0, "line"), (1, "line"), (2, "page")])
def test_priority_and_timeout_reach_the_queue(priority: int, expected: str) -> None:
    server = served()
    infer(server, grey(1), parameters={"priority": priority, "timeout": 250_000})
    task = server.pool.tasks[0]
    assert (task.priority, task.deadline_s) == (expected, 0.25)


def test_a_file_is_inspected_and_kept_as_received() -> None:
    server, data = served(), jpeg()
    headers = {LENGTH: "0", "Content-Type": "application/octet-stream"}
    answer = server.ask("POST", "/v2/models/part_encoded/infer", content=data, headers=headers)
    assert tensors(answer)["verdict"].tolist() == [[1]]
    record = server.store.records[0]
    assert record.image == data
    assert record.heat_map is not None
    assert record.heat_map.startswith(b"\x89PNG")


def test_pixels_without_their_size_are_refused() -> None:
    answer = served().ask("POST", "/v2/models/part/infer", content=b"abc", headers={LENGTH: "0"})
    assert "raw request" in error_of(answer, 400)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_both_ways_may_be_compressed(coding: str) -> None:
    body, headers = request_for(grey(51))
    packed = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    headers |= {"Content-Encoding": coding, "Accept-Encoding": coding}
    answer = served().ask("POST", "/v2/models/part/infer", content=packed, headers=headers)
    assert answer.headers["content-encoding"] == coding
    assert tensors(answer)["score"] == pytest.approx(0.2)


def test_metadata_config_and_statistics() -> None:
    server = served()
    infer(server, grey(10))
    infer(server, np.stack([grey(10), grey(20)]))
    assert server.ask("GET", "/v2/models/part").json()["versions"] == ["1"]
    assert server.ask("GET", "/v2/models/part/config").json()["max_batch_size"] == 8
    (one,) = server.ask("GET", "/v2/models/part/versions/1/stats").json()["model_stats"]
    assert one["inference_count"] == 3
    assert one["inference_stats"]["success"]["count"] == 2
    assert one["inference_stats"]["compute_infer"] == {"count": 3, "ns": 9_000_000}
    assert one["last_inference"] > 0
    every = server.ask("GET", "/v2/models/stats").json()["model_stats"]
    assert [one["name"] for one in every] == ["part", "part_encoded"]


def test_the_repository_lists_both_models() -> None:
    server = served()
    for body in (b"", b"{}", b'{"ready": true}'):
        index = server.ask("POST", "/v2/repository/index", content=body).json()
        assert [one["name"] for one in index] == ["part", "part_encoded"]
    error_of(server.ask("POST", "/v2/repository/index", content=b'{"ready": 1}'), 400)


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/cog",
        "/v2/models/part/versions/2",
        "/v2/models/part/versions/2/ready",
        "/v2/models/cog/config",
        "/v2/models/..%2fpart",
        "/nothing",
        "/v2/models/part/",
        "/v2/models//ready",
    ],
)
def test_what_is_not_there_is_404(path: str) -> None:
    error_of(served().ask("GET", path), 404)


def test_the_wrong_method_is_told_the_right_one() -> None:
    for method, path in (("GET", "/v2/models/part/infer"), ("DELETE", "/v2/models/part")):
        answer = served().ask(method, path)
        error_of(answer, 405)
        assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/repository/models/part/load"),
        ("POST", "/v2/repository/models/part/unload"),
        ("GET", "/v2/systemsharedmemory/status"),
        ("POST", "/v2/cudasharedmemory/region/x/register"),
        ("GET", "/v2/trace/setting"),
        ("POST", "/v2/logging"),
    ],
)
def test_what_is_left_out_on_purpose_is_501(method: str, path: str) -> None:
    error_of(served().ask(method, path), 501)


def test_other_content_types_are_415() -> None:
    body, headers = request_for(grey(1))
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = served().ask(
            "POST", "/v2/models/part/infer", content=body, headers=headers | {"Content-Type": kind}
        )
        error_of(answer, 415)


def failing(error: BaseException) -> FakePool:
    def fail(_: Task) -> Outcome:
        raise error

    return FakePool(answer=fail)


@pytest.mark.parametrize(
    ("error", "seconds", "reason"),
    [
        (QueueFull(0.2), "1", "REJECTED"),
        (TooLate("late", 1.2), "2", "REJECTED"),
        (EngineDown("restarting", 5.0), "5", "BACKEND"),
    ],
)
def test_not_now_is_503_and_says_when(error: Exception, seconds: str, reason: str) -> None:
    server = served(failing(error))
    answer = infer(server, grey(1))
    error_of(answer, 503)
    assert answer.headers["retry-after"] == seconds
    assert server.inspecting.counters.of("part").failure == {reason: 1}
    assert server.store.records == []


def test_an_engine_that_fails_is_503_and_recorded_as_error() -> None:
    def error(task: Task) -> Outcome:
        return outcome_of(task, verdict=Verdict.ERROR, score=None, reason="NaN")

    server = served(FakePool(answer=error))
    assert error_of(infer(server, grey(1)), 503) == "NaN"
    assert [record.verdict for record in server.store.records] == [Verdict.ERROR]
    counts = server.inspecting.counters.of("part")
    assert (counts.success, counts.failure, counts.inferences) == (0, {"BACKEND": 1}, 0)


def test_one_error_in_a_batch_answers_none_of_it() -> None:
    def second_fails(task: Task) -> Outcome:
        outcome = outcome_of(task)
        bad = outcome.score is not None and outcome.score > 0.5
        return replace(outcome, verdict=Verdict.ERROR, score=None) if bad else outcome

    error_of(infer(served(FakePool(answer=second_fails)), np.stack([grey(0), grey(255)])), 503)


def test_only_our_bug_is_500(caplog: pytest.LogCaptureFixture) -> None:
    answer = infer(served(failing(KeyError("x"))), grey(1))
    assert "bug" in error_of(answer, 500)
    assert "KeyError" in caplog.text
    assert "KeyError" not in answer.text


def test_a_broken_picture_is_400() -> None:
    server = served()
    answer = server.ask(
        "POST", "/v2/models/part_encoded/infer", content=jpeg()[:40], headers={LENGTH: "0"}
    )
    error_of(answer, 400)
    assert server.inspecting.counters.of("part_encoded").failure == {"OTHER": 1}


def test_bodies_are_bounded_plain_and_decompressed() -> None:
    limits = Limits(body_bytes=100_000, in_flight_bytes=150_000)
    server = served(limits=limits)
    fits, large = b" " * 99_998 + b"{}", b" " * 99_999 + b"{}"
    ask = "/v2/models/part/infer"
    error_of(server.ask("POST", ask, content=fits), 400)
    error_of(server.ask("POST", ask, content=large), 413)

    async def chunked() -> Any:
        for _ in range(65_537):
            yield b"  "

    error_of(server.ask("POST", ask, content=chunked()), 413)
    for coding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        headers = {"Content-Encoding": coding}
        error_of(server.ask("POST", ask, content=pack(fits), headers=headers), 400)
        error_of(server.ask("POST", ask, content=pack(large), headers=headers), 413)
        error_of(server.ask("POST", ask, content=pack(bytes(10**7)), headers=headers), 413)
        error_of(server.ask("POST", ask, content=b"garbage", headers=headers), 400)
    error_of(server.ask("POST", ask, content=fits, headers={"Content-Encoding": "br"}), 415)


def test_smooth_pictures_are_judged_the_same_as_pixels_and_as_png() -> None:
    from PIL import Image

    image, server = scene(32, 48), served()
    png = saved(Image.fromarray(image), "PNG")
    headers = {LENGTH: "0", "Content-Type": "application/octet-stream"}
    encoded = server.ask("POST", "/v2/models/part_encoded/infer", content=png, headers=headers)
    assert tensors(encoded)["score"] == tensors(infer(server, image))["score"]
