"""`/v1/inspect`: one picture, one short JSON of fixed shape."""

import json
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from tests.pictures import noise, saved
from tests.runtime.server.app.fakes import (
    SIZE,
    FakePool,
    Served,
    error_of,
    grey,
    outcome_of,
    served,
)
from vipx.images import decode_image
from vipx.runtime.server.app.inspect_routes import MOST_JSON
from vipx.runtime.server.app.multipart import read_form
from vipx.runtime.server.protocol.faults import RequestError
from vipx.runtime.server.work.task import Outcome, Region, Task
from vipx.verdict import Verdict

PNG = saved(Image.fromarray(grey(255)), "PNG")
DARK = saved(Image.fromarray(grey(51)), "PNG")


def post(server: Served, content: bytes = DARK, **options: Any) -> httpx2.Response:
    headers = {"Content-Type": "image/png"} | options.pop("headers", {})
    return server.ask("POST", "/v1/inspect", content=content, headers=headers, **options)


def form(*parts: tuple[str, str | None, bytes], boundary: str = "xyz") -> bytes:
    lines = []
    for name, file, data in parts:
        end = "" if file is None else f'; filename="{file}"'
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{end}\r\n\r\n'
        lines.append(head.encode() + data + b"\r\n")
    return b"".join(lines) + f"--{boundary}--\r\n".encode()


def post_form(server: Served, body: bytes, boundary: str = "xyz") -> httpx2.Response:
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return post(server, body, headers=headers)


def test_a_good_part() -> None:
    server = served()
    result = post(server, params={"part_id": "Teil 7 ü"}).json()
    assert result.pop("result_id") == server.store.records[0].result_id
    assert result.pop("anomaly_score") == pytest.approx(0.2)
    assert "below" in result.pop("reason")
    assert result == {
        "verdict": "OK",
        "verdict_code": 0,
        "is_anomalous": False,
        "anomaly_threshold": 0.5,
        "review_threshold": None,
        "seq": 1,
        "part_id": "Teil 7 ü",
        "recipe": "part",
        "stored": True,
        "regions": [],
        "region_count": 0,
        "image_size": [4, 5],
        "timing_ms": {"queue": 0.01, "preprocess": 0.02, "infer": 3.0, "postprocess": 0.04},
        "engine": "fake 1.0 on cpu",
        "model_sha256": "ab" * 32,
    }


def test_a_bad_part_says_where() -> None:
    result = post(served(), PNG).json()
    assert (result["verdict"], result["is_anomalous"]) == ("NG", True)
    region = {"x": 1, "y": 2, "width": 3, "height": 4, "area": 12, "peak": 0.75}
    assert result["regions"] == [region]


def test_review_is_not_good() -> None:
    server = served(FakePool(answer=lambda task: outcome_of(task, threshold=None)))
    result = post(server).json()
    assert (result["verdict"], result["verdict_code"]) == ("REVIEW", 2)
    assert result["is_anomalous"] is True
    assert result["anomaly_threshold"] is None


def test_an_error_is_503_and_keeps_its_shape() -> None:
    def error(task: Task) -> Outcome:
        return outcome_of(task, verdict=Verdict.ERROR, score=None, reason="the engine gave NaN")

    good, server = post(served()).json(), served(FakePool(answer=error))
    answer = post(server)
    assert error_of(answer, 503) == "the engine gave NaN"
    result = answer.json()
    assert set(result) == set(good) | {"error"}
    assert (result["verdict"], result["verdict_code"]) == ("ERROR", 3)
    assert result["is_anomalous"] is True
    assert server.store.records[0].verdict is Verdict.ERROR


def test_seq_rises_and_what_is_not_stored_says_so() -> None:
    server = served()
    server.store.stored = False
    answers = [post(server).json() for _ in range(3)]
    assert [one["seq"] for one in answers] == [1, 2, 3]
    assert {one["stored"] for one in answers} == {False}


def test_the_longest_answer_fits_a_small_buffer() -> None:
    def worst(task: Task) -> Outcome:
        region = Region(99_999, 99_999, 99_999, 99_999, 39_999_999, 0.99999)
        return outcome_of(
            task,
            regions=(region,) * 50,
            reason="é" * 500,
            engine="y" * 500,
            score=0.123456789,
            threshold=0.123456789,
            review=0.123456789,
            size=(99_999, 99_999),
            microseconds=dict.fromkeys(("queue", "preprocess", "infer", "postprocess"), 99_999_999),
        )

    name = "r" * 200
    server = served(FakePool(names=(name,), answer=worst))
    for letter in ("é", "🔩", '"', "\\"):
        answer = post(server, params={"part_id": letter * 128})
        assert answer.status_code == 200
        assert answer.json()["part_id"] == letter * 128
        assert len(answer.content) < MOST_JSON
        assert answer.json()["region_count"] == 50


def test_the_map_is_the_body_if_it_is_asked_for() -> None:
    server = served()
    raw = post(server, params={"map": "float32"})
    assert raw.headers["vipx-map-shape"] == "6,8"
    values = np.frombuffer(raw.content, "<f4").reshape(SIZE)
    result = json.loads(raw.headers["vipx-result"])
    np.testing.assert_allclose(values, result["anomaly_score"], atol=1e-6)
    png = post(server, params={"map": "png"})
    assert png.headers["content-type"] == "image/png"
    assert set(np.unique(decode_image(png.content, name="map"))) == {51}


def test_a_map_is_kept_of_what_is_not_good() -> None:
    server = served()
    post(server, DARK)
    post(server, PNG)
    assert [record.heat_map is None for record in server.store.records] == [True, False]
    assert [record.image for record in server.store.records] == [DARK, PNG]


def test_a_form_carries_picture_and_fields() -> None:
    server = served(FakePool(names=("a", "b")))
    body = form(("recipe", None, b"b"), ("image", "../../x.png", DARK), ("part_id", None, b"7"))
    result = post_form(server, body).json()
    assert (result["recipe"], result["part_id"], result["verdict"]) == ("b", "7", "OK")


def test_several_recipes_have_to_be_named() -> None:
    server = served(FakePool(names=("a", "b")))
    assert "a, b" in error_of(post(server), 400)
    assert post(server, params={"recipe": "a"}).json()["recipe"] == "a"
    error_of(post(server, params={"recipe": "c"}), 404)


@pytest.mark.parametrize(
    "params",
    [
        {"map": "jpeg"},
        {"timeout_ms": "-1"},
        {"timeout_ms": "soon"},
        {"part_id": "a\nb"},
        {"part_id": "x" * 129},
        {"colour": "red"},
    ],
)
def test_a_field_that_is_not_as_described_is_refused(params: dict[str, str]) -> None:
    server = served()
    error_of(post(server, params=params), 400)
    assert server.store.records == []


BAD_FORMS: dict[str, bytes] = {
    "empty": b"",
    "no end": form(("image", "x.png", DARK))[:-6],
    "no picture": form(("recipe", None, b"part")),
    "two pictures": form(("image", "a", DARK), ("image", "b", DARK)),
    "too many": form(*[("recipe", None, b"part")] * 40, ("image", "a", DARK)),
    "no name": b"--xyz\r\nContent-Disposition: form-data\r\n\r\nx\r\n--xyz--\r\n",
    "no disposition": b"--xyz\r\nX: y\r\n\r\nx\r\n--xyz--\r\n",
    "no head": b"--xyz\r\nx\r\n--xyz--\r\n",
    "long field": form(("recipe", None, b"x" * 2000), ("image", "a", DARK)),
    "unknown field": form(("colour", None, b"x"), ("image", "a", DARK)),
}


@pytest.mark.parametrize("body", BAD_FORMS.values(), ids=BAD_FORMS)
def test_a_broken_form_is_refused(body: bytes) -> None:
    error_of(post_form(served(), body), 400)


@pytest.mark.parametrize("boundary", ["", "x" * 71, "a\tb", '"'])
def test_a_boundary_is_a_boundary(boundary: str) -> None:
    with pytest.raises(RequestError):
        read_form(form(("image", "a", DARK)), f"multipart/form-data; boundary={boundary}")


def test_a_picture_with_line_ends_survives_a_form() -> None:
    data = b"\r\n--xy\r\n--xyzz" + noise(3, 3).tobytes() + b"\r\n"
    (part,) = read_form(form(("image", "a", data), boundary="b0b"), "x/y; boundary=b0b")
    assert part.data == data


def test_what_is_no_picture_is_400_and_nothing_is_recorded() -> None:
    server = served()
    for content in (b"", b"hello", PNG[:30]):
        error_of(post(server, content), 400)
    assert server.store.records == []


def test_other_content_types_are_415() -> None:
    for kind in ("text/plain", "application/json", "application/x-www-form-urlencoded"):
        error_of(post(served(), headers={"Content-Type": kind}), 415)
