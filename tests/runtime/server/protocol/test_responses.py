"""Answers hold what was asked for, in the layout that the protocol has."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vipx.runtime.server.protocol.compression import (
    Coding,
    compress,
    decompress,
    read_coding,
    wanted_coding,
)
from vipx.runtime.server.protocol.faults import RequestError
from vipx.runtime.server.protocol.requests import InferRequest, WantedOutput
from vipx.runtime.server.protocol.responses import InferResponse, encode_response, wanted_outputs
from vipx.runtime.server.protocol.tensors import OutputTensor

OUTPUTS = (
    OutputTensor("score", "FP32", np.array([[0.25]], np.float32)),
    OutputTensor("threshold", "FP32", np.array([[np.nan]], np.float32)),
    OutputTensor("verdict", "UINT8", np.array([[2]], np.uint8)),
)
RESPONSE = InferResponse("part", "1", "a\ud800", OUTPUTS, {"seq": 3})


def test_an_answer_in_json_has_no_header_length() -> None:
    wanted = [WantedOutput("threshold", False), WantedOutput("score", False)]
    encoded = encode_response(RESPONSE, wanted)
    assert encoded.header_length is None
    assert json.loads(encoded.body) == {
        "model_name": "part",
        "model_version": "1",
        "id": "a\ud800",
        "parameters": {"seq": 3},
        "outputs": [
            {"name": "threshold", "datatype": "FP32", "shape": [1, 1], "data": [None]},
            {"name": "score", "datatype": "FP32", "shape": [1, 1], "data": [0.25]},
        ],
    }


def test_binary_outputs_follow_the_json_in_its_order() -> None:
    wanted = [WantedOutput("verdict", True), WantedOutput("score", True)]
    encoded = encode_response(RESPONSE, wanted)
    assert encoded.header_length is not None
    record = json.loads(encoded.body[: encoded.header_length])
    assert [one["parameters"]["binary_data_size"] for one in record["outputs"]] == [1, 4]
    assert encoded.body[encoded.header_length :] == b"\x02" + np.float32(0.25).tobytes()
    assert encoded.content_type == "application/octet-stream"


def test_who_names_no_output_gets_all() -> None:
    wanted = wanted_outputs(InferRequest("", (), None, True), ["a", "b"])
    assert wanted == (WantedOutput("a", True), WantedOutput("b", True))


def test_an_unknown_output_is_refused() -> None:
    with pytest.raises(RequestError, match="depth"):
        wanted_outputs(InferRequest("", (), (WantedOutput("depth", True),)), ["score"])


@given(arrays.arrays(np.float32, arrays.array_shapes(max_dims=3, max_side=4)))
def test_floats_survive_json_exactly_and_what_is_not_finite_is_null(array: np.ndarray) -> None:
    values = OutputTensor("x", "FP32", array).values()
    back = np.array(json.loads(json.dumps(values)), np.float32).reshape(array.shape)
    np.testing.assert_array_equal(back, np.where(np.isfinite(array), array, np.nan))


@given(st.binary(max_size=5000), st.sampled_from(["gzip", "deflate"]))
def test_what_is_compressed_comes_back(data: bytes, coding: Coding) -> None:
    assert decompress(compress(data, coding), coding, len(data)) == data


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_the_bound_is_on_what_comes_out(coding: Coding) -> None:
    bomb = compress(bytes(10_000_000), coding)
    assert len(bomb) < 50_000
    with pytest.raises(RequestError) as caught:
        decompress(bomb, coding, 9_999_999)
    assert caught.value.status == 413


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("broken", ["cut", "garbage", "more", "flipped", "empty"])
def test_a_broken_body_is_refused(coding: Coding, broken: str) -> None:
    whole = compress(b"hello" * 100, coding)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    bodies = {
        "cut": whole[:-3],
        "garbage": b"not compressed",
        "more": whole + b"x",
        "flipped": bytes(flipped),
        "empty": b"",
    }
    with pytest.raises(RequestError) as caught:
        decompress(bodies[broken], coding, 10_000)
    assert caught.value.status == 400


def test_other_codings_are_not_taken() -> None:
    assert read_coding(None) is None
    assert read_coding("identity") is None
    assert read_coding(" GZIP ") == "gzip"
    for name in ("br", "gzip, gzip", "x"):
        with pytest.raises(RequestError) as caught:
            read_coding(name)
        assert caught.value.status == 415


def test_an_answer_is_compressed_if_exactly_one_coding_is_asked_for() -> None:
    assert wanted_coding("deflate") == "deflate"
    assert wanted_coding("gzip, deflate, br") is None
    assert wanted_coding("br") is None
    assert wanted_coding(None) is None
