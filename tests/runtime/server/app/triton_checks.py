"""What an unmodified `tritonclient[http]` does with a server; the same checks run against a real Triton."""

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from PIL import Image
from tritonclient.utils import InferenceServerException

MODEL = "part"
ENCODED = "part_encoded"
OUTPUTS = ("score", "anomaly_map", "verdict", "threshold")


@dataclass(frozen=True, slots=True)
class Target:
    """A server that has both models; brightness is the score, 0.5 the threshold."""

    url: str

    def client(self, **options: Any) -> Any:
        return triton.InferenceServerClient(self.url, **options)


def frame(value: int = 51, count: int = 1) -> np.ndarray:
    return np.full((count, 12, 16, 3), value, np.uint8)


def pixels(image: np.ndarray, *, binary: bool = True, name: str = "IMAGE") -> Any:
    tensor = triton.InferInput(name, list(image.shape), "UINT8")
    return tensor.set_data_from_numpy(image, binary_data=binary)


def files(*values: int, kind: str = "PNG") -> Any:
    encoded = []
    for value in values:
        file = io.BytesIO()
        Image.fromarray(frame(value)[0]).save(file, kind)
        encoded.append(file.getvalue())
    tensor = triton.InferInput("IMAGE", [len(values), 1], "BYTES")
    return tensor.set_data_from_numpy(np.array(encoded, np.object_)[:, None])


def wanted(*names: str, binary: bool = True) -> list[Any]:
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


def score(result: Any) -> float:
    return float(result.as_numpy("score").ravel()[0])


def check_live(t: Target) -> None:
    assert t.client().is_server_live()


def check_ready(t: Target) -> None:
    assert t.client().is_server_ready()


def check_model_ready(t: Target) -> None:
    client = t.client()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(ENCODED, "1")
    assert not client.is_model_ready("absent")
    assert not client.is_model_ready(MODEL, "7")


def check_server_metadata(t: Target) -> None:
    assert "binary_tensor_data" in t.client().get_server_metadata()["extensions"]


def check_metadata(t: Target) -> None:
    record = t.client().get_model_metadata(MODEL)
    assert record["inputs"] == [{"name": "IMAGE", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}]
    assert [one["name"] for one in record["outputs"]] == list(OUTPUTS)


def check_metadata_of_a_version(t: Target) -> None:
    record = t.client().get_model_metadata(ENCODED, "1")
    assert record["inputs"] == [{"name": "IMAGE", "datatype": "BYTES", "shape": [-1, 1]}]


def check_config(t: Target) -> None:
    record = t.client().get_model_config(MODEL)
    assert record["name"] == MODEL
    assert record["max_batch_size"] >= 1
    assert record["input"][0]["data_type"] == "TYPE_UINT8"


def check_statistics(t: Target) -> None:
    client = t.client()
    before = client.get_inference_statistics(MODEL)["model_stats"][0]
    client.infer(MODEL, [pixels(frame())])
    after = client.get_inference_statistics(MODEL, "1")["model_stats"][0]
    assert after["inference_count"] == before.get("inference_count", 0) + 1
    for name in ("success", "queue", "compute_infer"):
        assert after["inference_stats"][name]["count"] >= 1


def check_repository_index(t: Target) -> None:
    names = {one["name"] for one in t.client().get_model_repository_index()}
    assert {MODEL, ENCODED} <= names


def check_all_outputs_in_binary(t: Target) -> None:
    result = t.client().infer(MODEL, [pixels(frame(204))])
    assert score(result) == pytest.approx(0.8)
    assert result.as_numpy("verdict").tolist() == [[1]]
    assert result.as_numpy("threshold").tolist() == [[0.5]]
    assert result.as_numpy("anomaly_map").ndim == 3


def check_binary_in_json_out(t: Target) -> None:
    result = t.client().infer(MODEL, [pixels(frame())], outputs=wanted("score", binary=False))
    assert "data" in result.get_output("score")
    assert score(result) == pytest.approx(0.2)


def check_json_in_binary_out(t: Target) -> None:
    outputs = wanted("score", "verdict")
    result = t.client().infer(MODEL, [pixels(frame(), binary=False)], outputs=outputs)
    assert result.as_numpy("verdict").tolist() == [[0]]


def check_json_in_json_out(t: Target) -> None:
    outputs = wanted(*OUTPUTS, binary=False)
    result = t.client().infer(MODEL, [pixels(frame(), binary=False)], outputs=outputs)
    assert np.isfinite(result.as_numpy("anomaly_map")).all()


def check_mixed_outputs(t: Target) -> None:
    outputs = [*wanted("score"), *wanted("verdict", binary=False)]
    result = t.client().infer(MODEL, [pixels(frame())], outputs=outputs)
    assert "data" in result.get_output("verdict")
    assert "data" not in result.get_output("score")


def check_only_what_is_wanted(t: Target) -> None:
    result = t.client().infer(MODEL, [pixels(frame())], outputs=wanted("threshold"))
    assert result.as_numpy("score") is None


def check_request_id(t: Target) -> None:
    result = t.client().infer(MODEL, [pixels(frame())], request_id="part-4711")
    assert result.get_response()["id"] == "part-4711"


def check_version(t: Target) -> None:
    result = t.client().infer(MODEL, [pixels(frame())], model_version="1")
    assert result.get_response()["model_version"] == "1"


def check_batch(t: Target) -> None:
    images = np.concatenate([frame(0), frame(255), frame(51)])
    result = t.client().infer(MODEL, [pixels(images)])
    assert result.as_numpy("verdict").ravel().tolist() == [0, 1, 0]


def check_encoded(t: Target) -> None:
    for kind in ("PNG", "JPEG"):
        assert score(t.client().infer(ENCODED, [files(204, kind=kind)])) == pytest.approx(0.8)


def check_encoded_batch(t: Target) -> None:
    result = t.client().infer(ENCODED, [files(0, 255)])
    np.testing.assert_allclose(result.as_numpy("score").ravel(), [0, 1], atol=1e-6)


def check_gzip(t: Target) -> None:
    _compressed(t, "gzip")


def check_deflate(t: Target) -> None:
    _compressed(t, "deflate")


def _compressed(t: Target, coding: str) -> None:
    ways: dict[str, Any] = {
        "request_compression_algorithm": coding,
        "response_compression_algorithm": coding,
    }
    client = t.client()
    for options in (dict([item]) for item in ways.items()):
        assert score(client.infer(MODEL, [pixels(frame())], **options)) == pytest.approx(0.2)
    assert score(client.infer(ENCODED, [files(51)], **ways)) == pytest.approx(0.2)


def check_many_at_once(t: Target) -> None:
    client = t.client(concurrency=8)
    values = [round(255 * n / 63) for n in range(64)]
    waiting = [client.async_infer(MODEL, [pixels(frame(value))]) for value in values]
    found = [score(one.get_result()) for one in waiting]
    np.testing.assert_allclose(found, np.array(values) / 255, atol=1e-6)


def check_keep_alive(t: Target) -> None:
    with t.client(concurrency=1) as client:
        found = [score(client.infer(MODEL, [pixels(frame(value))])) for value in range(30)]
    np.testing.assert_allclose(found, np.arange(30) / 255, atol=1e-6)


def check_parameters(t: Target) -> None:
    options: dict[str, Any] = {"priority": 1, "timeout": 2_000_000}
    result = t.client().infer(MODEL, [pixels(frame())], parameters={"part_id": "a"}, **options)
    assert score(result) == pytest.approx(0.2)


def check_aio(t: Target) -> None:
    async def use() -> None:
        async with triton_aio.InferenceServerClient(t.url) as client:
            assert await client.is_server_ready()
            results = [client.infer(MODEL, [pixels(frame(value))]) for value in (0, 255)]
            assert [score(one) for one in await asyncio.gather(*results)] == [0, 1]
            ways = {"response_compression_algorithm": "gzip"}
            packed = await client.infer(MODEL, [pixels(frame())], **ways)
            assert score(packed) == pytest.approx(0.2)

    asyncio.run(use())


def check_request_made_beforehand(t: Target) -> None:
    kind = triton.InferenceServerClient
    body, length = kind.generate_request_body([pixels(frame())])
    headers = {"Inference-Header-Content-Length": str(length)}
    answer = httpx2.post(f"http://{t.url}/v2/models/{MODEL}/infer", content=body, headers=headers)
    size = int(answer.headers["Inference-Header-Content-Length"])
    result = kind.parse_response_body(answer.content, header_length=size)
    assert score(result) == pytest.approx(0.2)


def refused(use: Callable[[], object], *statuses: str) -> str:
    with pytest.raises(InferenceServerException) as caught:
        use()
    assert caught.value.status() in statuses, caught.value
    assert caught.value.message()
    return str(caught.value.message())


def check_unknown_model(t: Target) -> None:
    refused(lambda: t.client().infer("absent", [pixels(frame())]), "404")
    refused(lambda: t.client().get_model_metadata("absent"), "404")


def check_unknown_version(t: Target) -> None:
    refused(lambda: t.client().infer(MODEL, [pixels(frame())], model_version="7"), "404")


def check_wrong_input_name(t: Target) -> None:
    refused(lambda: t.client().infer(MODEL, [pixels(frame(), name="PICTURE")]), "400")


def check_wrong_datatype(t: Target) -> None:
    def infer() -> None:
        tensor = triton.InferInput("IMAGE", [1, 2, 2, 3], "FP32")
        tensor.set_data_from_numpy(np.zeros((1, 2, 2, 3), np.float32))
        t.client().infer(MODEL, [tensor])

    refused(infer, "400")


def check_wrong_shape(t: Target) -> None:
    refused(lambda: t.client().infer(MODEL, [pixels(frame()[..., :2].copy())]), "400")


def check_unknown_output(t: Target) -> None:
    infer = t.client().infer
    refused(lambda: infer(MODEL, [pixels(frame())], outputs=wanted("depth")), "400")


def check_no_picture(t: Target) -> None:
    def infer() -> None:
        tensor = triton.InferInput("IMAGE", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[b"no picture"]], np.object_))
        t.client().infer(ENCODED, [tensor])

    refused(infer, "400")


def check_shared_memory_is_refused(t: Target) -> None:
    def infer() -> None:
        tensor = triton.InferInput("IMAGE", [1, 2, 2, 3], "UINT8")
        tensor.set_shared_memory("region", 12)
        t.client().infer(MODEL, [tensor])

    refused(infer, "400")


def check_loading_is_not_offered(t: Target) -> None:
    refused(lambda: t.client().load_model(MODEL), "501")
    refused(lambda: t.client().unload_model(MODEL), "501")


def check_extensions_left_out(t: Target) -> None:
    refused(lambda: t.client().get_system_shared_memory_status(), "501")
    refused(lambda: t.client().get_log_settings(), "501")
    refused(lambda: t.client().get_trace_settings(), "501")


CHECKS: dict[str, Callable[[Target], None]] = {
    name.removeprefix("check_"): check
    for name, check in list(globals().items())
    if name.startswith("check_")
}
