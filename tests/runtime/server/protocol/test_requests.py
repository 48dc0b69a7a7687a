"""Requests are read exactly, and whatever is wrong with one is its sender's fault."""

import json
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipx.runtime.server.protocol.faults import RequestError
from vipx.runtime.server.protocol.models import ServedModel
from vipx.runtime.server.protocol.pictures import read_deadline, read_part_id, read_pictures
from vipx.runtime.server.protocol.requests import (
    InferRequest,
    read_header_length,
    read_infer_request,
    read_raw_request,
)

PIXELS = ServedModel("part", "part", "pixels", (6, 8), 4)
FILES = ServedModel("part_encoded", "part", "files", (6, 8), 4)


def tensor(**changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {"name": "IMAGE", "datatype": "UINT8", "shape": [1, 1, 2, 3]}
    return usual | {"data": [0, 1, 2, 3, 4, 255]} | changes


def binary(size: Any, **changes: Any) -> dict[str, Any]:
    record = tensor(parameters={"binary_data_size": size}, **changes)
    del record["data"]
    return record


def read(record: object, raw: bytes = b"") -> InferRequest:
    text = json.dumps(record).encode()
    return read_infer_request(text + raw, len(text) if raw else None)


def test_binary_pixels_are_views_of_the_body() -> None:
    raw = bytes(range(12))
    request = read({"inputs": [binary(12, shape=[2, 1, 2, 3])]}, raw)
    first, second = read_pictures(request, PIXELS)
    assert isinstance(first, np.ndarray)
    assert isinstance(second, np.ndarray)
    assert not first.flags.owndata
    np.testing.assert_array_equal(np.stack([first, second]).ravel(), np.arange(12))


@pytest.mark.parametrize("data", [[0, 1, 2, 3, 4, 255], [[[[0, 1, 2], [3, 4, 255]]]]])
def test_json_pixels_may_be_flat_or_nested(data: list[object]) -> None:
    (picture,) = read_pictures(read({"inputs": [tensor(data=data)]}), PIXELS)
    assert isinstance(picture, np.ndarray)
    assert picture.ravel().tolist() == [0, 1, 2, 3, 4, 255]


def test_files_come_back_as_they_were_sent() -> None:
    files = [b"\xff\xd8first", b""]
    raw = b"".join(struct.pack("<I", len(one)) + one for one in files)
    record = binary(len(raw), datatype="BYTES", shape=[2, 1])
    assert read_pictures(read({"inputs": [record]}, raw), FILES) == tuple(files)


def test_a_raw_body_is_one_file() -> None:
    request = read_raw_request(b"\x00\x01\x02", "IMAGE")
    assert request.binary_output
    assert read_pictures(request, FILES) == (b"\x00\x01\x02",)


def test_what_the_client_says_of_outputs_is_kept() -> None:
    request = read(
        {
            "id": "a",
            "parameters": {"binary_data_output": True, "part_id": "p"},
            "inputs": [tensor()],
            "outputs": [{"name": "score"}, {"name": "x", "parameters": {"binary_data": False}}],
        }
    )
    assert request.id == "a"
    assert request.parameters["part_id"] == "p"
    assert request.outputs is not None
    assert [(one.name, one.binary) for one in request.outputs] == [("score", True), ("x", False)]


BAD_REQUESTS: dict[str, object] = {
    "no object": [],
    "no inputs": {},
    "inputs no list": {"inputs": {}},
    "no input": {"inputs": []},
    "too many inputs": {"inputs": [tensor(name=str(i)) for i in range(17)]},
    "input no object": {"inputs": [1]},
    "no name": {"inputs": [tensor(name="")]},
    "name no text": {"inputs": [tensor(name=3)]},
    "twice": {"inputs": [tensor(), tensor()]},
    "datatype unknown": {"inputs": [tensor(datatype="UINT9")]},
    "datatype no text": {"inputs": [tensor(datatype={})]},
    "shape no list": {"inputs": [tensor(shape=6)]},
    "shape of text": {"inputs": [tensor(shape=["6"])]},
    "shape of flags": {"inputs": [tensor(shape=[True, 1, 2, 3])]},
    "shape of fractions": {"inputs": [tensor(shape=[1.0, 1, 2, 3])]},
    "negative": {"inputs": [tensor(shape=[-1, 1, 2, 3])]},
    "beyond 64 bits": {"inputs": [tensor(shape=[2**64, 1, 2, 3])]},
    "no data": {"inputs": [{"name": "IMAGE", "datatype": "UINT8", "shape": [1, 1, 2, 3]}]},
    "data and binary": {"inputs": [tensor(parameters={"binary_data_size": 0})]},
    "binary beyond the body": {"inputs": [binary(6)]},
    "binary negative": {"inputs": [binary(-1)]},
    "binary a flag": {"inputs": [binary(True)]},
    "binary a text": {"inputs": [binary("6")]},
    "parameters no object": {"inputs": [tensor()], "parameters": []},
    "shared memory": {"inputs": [binary(0) | {"parameters": {"shared_memory_region": "r"}}]},
    "binary_data_output no flag": {"inputs": [tensor()], "parameters": {"binary_data_output": 1}},
    "outputs no list": {"inputs": [tensor()], "outputs": {}},
    "output twice": {"inputs": [tensor()], "outputs": [{"name": "score"}] * 2},
    "output no object": {"inputs": [tensor()], "outputs": ["score"]},
    "binary_data no flag": {
        "inputs": [tensor()],
        "outputs": [{"name": "score", "parameters": {"binary_data": 1}}],
    },
    "classification": {
        "inputs": [tensor()],
        "outputs": [{"name": "score", "parameters": {"classification": 2}}],
    },
    "id no text": {"inputs": [tensor()], "id": 3},
    "id too long": {"inputs": [tensor()], "id": "x" * 257},
}


@pytest.mark.parametrize("record", BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_a_request_that_is_not_as_described_is_refused(record: object) -> None:
    with pytest.raises(RequestError) as caught:
        read(record)
    assert caught.value.status == 400


BAD_TEXTS: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"inputs": "\xff"}',
    "a number beyond numbers": b'{"inputs": NaN}',
    "deep": b"[" * 250_000,
    "deep but whole": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of 5000 digits": b'{"inputs": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_a_text_that_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        read_infer_request(text, None)
    assert caught.value.status == 400


def test_json_beyond_its_bound_is_refused_before_it_is_read() -> None:
    with pytest.raises(RequestError) as caught:
        read_infer_request(b" " * (16 * 2**20 + 1), None)
    assert caught.value.status == 413


BAD_PICTURES: dict[str, dict[str, Any]] = {
    "overflow": tensor(shape=[2**4, 2**60 + 2]),
    "overflow to nothing": tensor(shape=[2**32, 2**32, 1, 3]),
    "another name": tensor(name="PICTURE"),
    "another datatype": tensor(datatype="INT8"),
    "three dimensions": tensor(shape=[1, 2, 3]),
    "four channels": tensor(shape=[1, 1, 2, 4], data=[0] * 8),
    "no height": tensor(shape=[1, 0, 2, 3], data=[]),
    "too many images": tensor(shape=[5, 1, 1, 3], data=[0] * 15),
    "too many pixels": tensor(shape=[1, 10_000, 10_000, 3]),
    "too few numbers": tensor(data=[1, 2, 3]),
    "too many numbers": tensor(data=[1] * 7),
    "too bright": tensor(data=[256, 0, 0, 0, 0, 0]),
    "negative": tensor(data=[-1, 0, 0, 0, 0, 0]),
    "fractions": tensor(data=[0.5] * 6),
    "texts": tensor(data=["a"] * 6),
    "a text": tensor(data="abcdef"),
    "nothing": tensor(data=None),
    "ragged": tensor(data=[[1, 2, 3], 4, 5, 6]),
    "too deep": tensor(data=[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]] * 6),
}


@pytest.mark.parametrize("record", BAD_PICTURES.values(), ids=BAD_PICTURES)
def test_a_picture_that_is_not_as_its_shape_says_is_refused(record: dict[str, Any]) -> None:
    request = read({"inputs": [record]})
    with pytest.raises(RequestError):
        read_pictures(request, PIXELS)


@pytest.mark.parametrize(
    ("raw", "shape"),
    [
        (b"\x05\x00\x00\x00abc", [1, 1]),
        (b"\x01\x00", [1, 1]),
        (b"\x00\x00\x00\x00", [2, 1]),
        (b"\x00\x00\x00\x00" * 3, [2, 1]),
        (b"\xff\xff\xff\xff", [1, 1]),
        (b"\x00\x00\x00\x00", [1, 2]),
        (b"\x00\x00\x00\x00", []),
    ],
)
def test_files_that_are_not_as_announced_are_refused(raw: bytes, shape: list[int]) -> None:
    request = read({"inputs": [binary(len(raw), datatype="BYTES", shape=shape)]}, raw)
    with pytest.raises(RequestError):
        read_pictures(request, FILES)


def test_files_are_not_taken_as_text() -> None:
    record = tensor(datatype="BYTES", shape=[1, 1], data=["/9j/4AAQ"])
    with pytest.raises(RequestError, match="binary"):
        read_pictures(read({"inputs": [record]}), FILES)


@pytest.mark.parametrize("text", ["-1", "x", "1.5", "", "²", "9" * 30, " 1"])
def test_a_header_length_is_a_plain_number(text: str) -> None:
    with pytest.raises(RequestError):
        read_header_length(text)


def test_a_header_length_beyond_the_body_is_refused() -> None:
    with pytest.raises(RequestError, match="99999999999"):
        read_infer_request(b"{}", read_header_length("99999999999"))


def test_bytes_behind_the_last_tensor_are_refused() -> None:
    with pytest.raises(RequestError, match="1 bytes follow"):
        read({"inputs": [binary(6)]}, b"1234567")


@pytest.mark.parametrize(
    ("parameters", "seconds"),
    [({}, 0.5), ({"timeout": 0}, 0.5), ({"timeout": 250_000}, 0.25), ({"timeout": 2**70}, 60.0)],
)
def test_a_timeout_is_in_microseconds(parameters: dict[str, int], seconds: float) -> None:
    assert read_deadline(parameters, 0.5) == seconds


@pytest.mark.parametrize(
    "parameters", [{"timeout": -1}, {"timeout": "1"}, {"timeout": True}, {"sequence_id": 5}]
)
def test_what_is_no_timeout_is_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        read_deadline(parameters, 0.5)


@pytest.mark.parametrize("part", ["x" * 129, "a\nb", "\x00", "\ud800", 3, None])
def test_a_part_is_called_by_a_printable_name(part: object) -> None:
    with pytest.raises(RequestError):
        read_part_id(part)


@given(st.binary(max_size=200), st.one_of(st.none(), st.integers(0, 220)))
@settings(max_examples=80, deadline=None)
def test_arbitrary_bytes_are_read_or_refused(body: bytes, length: int | None) -> None:
    with suppress(RequestError):
        read_pictures(read_infer_request(body, length), PIXELS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "data", "parameters", "id"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*list(tensor()), "parameters"]), JSON), JSON, JSON)
@settings(max_examples=80, deadline=None)
def test_arbitrary_json_is_read_or_refused(changed: dict[str, Any], outputs: Any, id: Any) -> None:
    with suppress(RequestError):
        request = read({"inputs": [tensor() | changed], "outputs": outputs, "id": id})
        read_pictures(request, PIXELS)
