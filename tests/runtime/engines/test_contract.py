"""Every engine that runs here keeps the protocol, and gives the same numbers."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tests.tiny import noise_images
from vipx.bundle import read_bundle
from vipx.errors import BundleError, EngineError, UsageError
from vipx.runtime.engines import onnxruntime
from vipx.runtime.engines.choice import KINDS, choose, open_engine
from vipx.runtime.engines.engine import ENGINES, Engine, EngineName, EngineOptions, Model, Output
from vipx.runtime.engines.models import model_of

OUTPUTS: tuple[Output, ...] = get_args(Output)
HERE: tuple[EngineName, ...] = ("onnxruntime", "openvino")


@pytest.fixture(scope="module")
def model(tiny_bundle: Path) -> Model:
    return model_of(read_bundle(tiny_bundle))


@pytest.fixture(scope="module", params=HERE)
def engine(request: pytest.FixtureRequest, model: Model) -> Iterator[Engine]:
    opened = open_engine(model, EngineOptions(engine=request.param, device="cpu", threads=1))
    yield opened
    opened.close()


def test_all_engines_are_known_to_the_choice() -> None:
    assert set(KINDS) == set(ENGINES)


def test_an_engine_gives_what_is_wanted_and_no_more(engine: Engine, model: Model) -> None:
    images = np.stack(noise_images(2))
    whole = engine.run(images, OUTPUTS).arrays
    assert set(whole) == set(OUTPUTS)
    assert whole["anomaly_map"].shape == (2, *model.size)
    assert all(array.dtype == np.float32 for array in whole.values())
    for name in OUTPUTS:
        run = engine.run(images, (name,))
        assert set(run.arrays) == {name}
        np.testing.assert_array_equal(run.arrays[name], whole[name])


def test_results_belong_to_the_caller(engine: Engine) -> None:
    first, second = noise_images(2)
    kept = engine.run(first[None]).arrays["anomaly_map"]
    before = kept.copy()
    engine.run(second[None])
    np.testing.assert_array_equal(kept, before)


def test_times_are_told_for_each_stage(engine: Engine) -> None:
    times = engine.run(noise_images(1)[0][None]).times
    assert times.encoder > 0
    assert times.heads > 0
    assert times.total >= times.encoder + times.heads


def test_a_batch_gives_what_its_images_give_alone(engine: Engine) -> None:
    images = np.stack(noise_images(3))
    together = engine.run(images).arrays["anomaly_map"]
    alone = [engine.run(image[None]).arrays["anomaly_map"][0] for image in images]
    assert np.abs(together - np.stack(alone)).max() <= 1e-5


def test_engines_agree(model: Model) -> None:
    images = np.stack(noise_images(2))
    options = [EngineOptions(engine=name, device="cpu") for name in HERE]
    results = [open_engine(model, one).run(images).arrays for one in options]
    for other in results[1:]:
        assert np.abs(other["score"] - results[0]["score"]).max() <= 1e-5
        assert np.abs(other["anomaly_map"] - results[0]["anomaly_map"]).max() <= 1e-4


@pytest.mark.parametrize("name", HERE)
def test_constant_texts_take_the_place_of_the_prompts_graph(name: EngineName, model: Model) -> None:
    image = noise_images(1)[0][None]
    options = EngineOptions(engine=name, device="cpu")
    whole = open_engine(model, options).run(image, OUTPUTS).arrays
    folded = replace(model, prompts=None, texts=whole["text_embeddings"][0])
    arrays = open_engine(folded, options).run(image, OUTPUTS).arrays
    for output in OUTPUTS:
        np.testing.assert_array_equal(arrays[output], whole[output])


@pytest.mark.parametrize("name", HERE)
def test_an_engine_that_was_closed_says_so(name: EngineName, model: Model) -> None:
    opened = open_engine(model, EngineOptions(engine=name, device="cpu"))
    opened.close()
    opened.close()
    with pytest.raises(EngineError, match="closed"):
        opened.run(noise_images(1)[0][None])


@pytest.mark.parametrize("name", HERE)
def test_a_graph_that_is_none_is_refused(name: EngineName, model: Model, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no graph")
    with pytest.raises(EngineError, match=r"x\.onnx"):
        open_engine(
            replace(model, encoder=tmp_path / "x.onnx"), EngineOptions(engine=name, device="cpu")
        )


@pytest.mark.parametrize("name", HERE)
def test_an_image_of_another_size_is_refused(name: EngineName, model: Model) -> None:
    opened = open_engine(model, EngineOptions(engine=name, device="cpu"))
    with pytest.raises(EngineError, match=r"encoder\.onnx"):
        opened.run(np.zeros((1, 7, 7, 3), np.uint8))


def test_arithmetic_that_an_engine_does_not_have_is_refused(model: Model) -> None:
    with pytest.raises(EngineError, match="bf16"):
        open_engine(model, EngineOptions(engine="onnxruntime", device="cpu", arithmetic="bf16"))


def test_the_reason_of_every_engine_that_is_not_here_is_told() -> None:
    with pytest.raises(EngineError, match="openvino does not run on cuda"):
        choose(EngineOptions(engine="openvino", device="cuda"), "fp32")


def test_int8_prefers_the_engine_that_is_faster_with_it() -> None:
    cpu = EngineOptions(device="cpu")
    assert choose(cpu, "fp32").engine == "onnxruntime"
    assert choose(cpu, "int8").engine == "openvino"


@pytest.mark.parametrize(
    "texts", [np.zeros((2, 3), np.float32), np.full((2, 64), np.nan, np.float32)]
)
def test_texts_that_do_not_fit_are_refused(tiny_bundle: Path, texts: np.ndarray) -> None:
    with pytest.raises(BundleError, match="folded texts"):
        model_of(read_bundle(tiny_bundle), texts=texts)


def test_a_model_has_one_source_of_texts(model: Model) -> None:
    with pytest.raises(UsageError, match="either"):
        replace(model, texts=np.zeros((2, 64), np.float32))


def test_idle_threads_of_onnxruntime_leave_the_cores_to_others(model: Model) -> None:
    graph = onnxruntime.Session(model.heads, threads=2)
    settings = graph._session.get_session_options()
    assert settings.get_session_config_entry("session.intra_op.allow_spinning") == "0"
