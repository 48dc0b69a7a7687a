"""A TensorRT engine moves only what it must, keeps to its batch, and frees what it took."""

from dataclasses import replace

import numpy as np
import pytest

from tests.runtime.cuda.device import FakeDevice
from tests.runtime.tensorrt.conftest import Machine
from tests.tiny import noise_images
from vipx.bundle import read_bundle
from vipx.demo import DEMO_BUNDLE
from vipx.errors import EngineError, ResourceError
from vipx.runtime.engines.engine import (
    ANSWER,
    BUILD_SECONDS,
    Engine,
    EngineOptions,
    Output,
)
from vipx.runtime.engines.models import model_of
from vipx.runtime.engines.onnxruntime import OnnxRuntimeEngine
from vipx.runtime.engines.tensorrt import TensorRtEngine
from vipx.runtime.engines.tensorrt.building import Wish
from vipx.runtime.engines.tensorrt.cache import (
    SECONDS,
    CompiledPlan,
    open_cache,
    seal,
    unseal,
)
from vipx.runtime.engines.tensorrt.key import Settings

MODEL = model_of(read_bundle(DEMO_BUNDLE))
IMAGES = np.stack(noise_images(3, 160, 160, seed=5))
TEXTS: tuple[Output, ...] = ("text_embeddings",)
IMAGE_BYTES, SCORE_BYTES, MAP_BYTES = 160 * 160 * 3, 4, 160 * 160 * 4


def options(**changes: object) -> EngineOptions:
    return replace(EngineOptions("tensorrt", "cuda"), **changes)  # type: ignore[arg-type]


def test_it_keeps_to_the_protocol_and_says_what_runs(machine: Machine) -> None:
    built = machine.build(DEMO_BUNDLE)
    engine = TensorRtEngine(MODEL, options())
    assert isinstance(engine, Engine)
    assert engine.description.line == (
        "tensorrt 10.16.1.11 on cuda, fp32, GPU Fake GPU 8, batch 1, through cuda-python, CUDA graph on, "
        f"build seconds {sum(plan.seconds for plan in built.plans):.1f}"
    )
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="was closed"):
        engine.run(IMAGES[:1])


def test_what_building_took_is_told_long_after(machine: Machine) -> None:
    machine.build(DEMO_BUNDLE)
    cache = open_cache()
    for number, folder in enumerate(sorted(cache.root.glob("*/engine.json")), 1):
        record = unseal(folder.read_bytes())
        folder.write_bytes(seal(record | {SECONDS: 10.0**number}))
    engine = TensorRtEngine(MODEL, options())
    assert engine.description.detail[BUILD_SECONDS] == "1110.0"
    engine.close()


def test_smaller_batches_are_padded_and_cut_and_larger_ones_refused(machine: Machine) -> None:
    machine.build(DEMO_BUNDLE, Wish(settings=Settings(batch=2)))
    reference = OnnxRuntimeEngine(MODEL, EngineOptions(threads=1)).run(IMAGES).arrays
    engine = TensorRtEngine(MODEL, options(batch=2))
    for rows in (slice(0, 2), slice(2, 3), slice(1, 2)):
        arrays = engine.run(IMAGES[rows]).arrays
        for name in ANSWER:
            np.testing.assert_allclose(arrays[name], reference[name][rows], rtol=0, atol=2e-6)
    with pytest.raises(EngineError, match=r"batch of 3, the engine runs 1 to 2; .*--batch"):
        engine.run(IMAGES)
    with pytest.raises(EngineError, match="expected 160 x 160 pixels"):
        engine.run(IMAGES[:1, :80])
    engine.close()


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize(
    ("wanted", "down", "ran"),
    [
        (("score",), [SCORE_BYTES], ["encoder", "prompts", "heads"]),
        (("score", "anomaly_map"), [SCORE_BYTES, MAP_BYTES], ["encoder", "prompts", "heads"]),
        (("text_embeddings",), [2 * 64 * 4], ["encoder", "prompts"]),
        (("global_feature",), [64 * 4], ["encoder"]),
    ],
)
def test_only_what_is_wanted_is_computed_and_brought_back(
    machine: Machine, graph: bool, wanted: tuple[Output, ...], down: list[int], ran: list[str]
) -> None:
    machine.build(DEMO_BUNDLE)
    engine = TensorRtEngine(MODEL, options(cuda_graph=graph))
    engine.run(IMAGES[:1], wanted)
    machine.device.transfers.clear()
    machine.behaviour.runs.clear()
    arrays = engine.run(IMAGES[:1], wanted).arrays
    assert set(arrays) == set(wanted)
    assert machine.behaviour.runs == ran
    assert machine.device.transfers == [("up", IMAGE_BYTES), *(("down", size) for size in down)]
    engine.close()


def test_nothing_is_allocated_after_the_first_run_and_answers_are_the_callers(
    machine: Machine,
) -> None:
    machine.build(DEMO_BUNDLE)
    engine, device = TensorRtEngine(MODEL, options()), machine.device
    first = engine.run(IMAGES[:1]).arrays
    kept = {name: array.copy() for name, array in first.items()}
    held = (set(device.blocks), set(device.pinned), device.objects)
    engine.run(IMAGES[1:2])
    assert (set(device.blocks), set(device.pinned), device.objects) == held
    for name, array in kept.items():
        np.testing.assert_array_equal(first[name], array)
    engine.close()


def test_a_cuda_graph_is_captured_once_after_a_warm_run_and_then_replayed(machine: Machine) -> None:
    machine.build(DEMO_BUNDLE)
    engine = TensorRtEngine(MODEL, options())
    machine.behaviour.runs.clear()
    engine.run(IMAGES[:1])
    assert len(machine.behaviour.runs) == 6, "warm, and replayed"
    times = engine.run(IMAGES[:1]).times
    assert len(machine.behaviour.runs) == 9
    # A millisecond for each thing queued: the upload and its mark; three plans and theirs.
    assert times.encoder == 4.0
    assert (times.prompts, times.heads) == (0.0, 0.0)
    engine.close()


def test_without_a_cuda_graph_every_stage_has_its_own_time(machine: Machine) -> None:
    machine.build(DEMO_BUNDLE)
    engine = TensorRtEngine(MODEL, options(cuda_graph=False))
    assert engine.description.detail["CUDA graph"] == "off"
    times = engine.run(IMAGES[:1]).times
    assert (times.encoder, times.prompts, times.heads) == (2.0, 2.0, 2.0)
    assert times.host_to_device >= 2.0
    assert times.device_to_host >= 4.0
    engine.close()


@pytest.mark.parametrize("backend", ["cuda-python", "pycuda"])
def test_where_cpu_and_gpu_share_memory_nothing_is_copied(machine: Machine, backend: str) -> None:
    machine.become("10.3", FakeDevice(integrated=True, name="Orin"))
    machine.build(DEMO_BUNDLE, Wish(cuda_backend=backend))  # type: ignore[arg-type]
    reference = OnnxRuntimeEngine(MODEL, EngineOptions(threads=1)).run(IMAGES[:1]).arrays
    engine = TensorRtEngine(MODEL, options(cuda_backend=backend))
    machine.device.transfers.clear()
    arrays = engine.run(IMAGES[:1]).arrays
    assert machine.device.transfers == []
    for name in ANSWER:
        np.testing.assert_allclose(arrays[name], reference[name], rtol=0, atol=2e-6)
    engine.close()


def test_constant_texts_go_up_once(machine: Machine) -> None:
    machine.build(DEMO_BUNDLE)
    engine = TensorRtEngine(MODEL, options())
    texts = engine.run(IMAGES[:1], TEXTS).arrays["text_embeddings"][0]
    expected = engine.run(IMAGES[:1]).arrays
    engine.close()
    folded = model_of(read_bundle(DEMO_BUNDLE), None, texts)
    machine.device.transfers.clear()
    engine = TensorRtEngine(folded, options())
    assert machine.device.transfers == [("up", texts.nbytes)]
    machine.behaviour.runs.clear()
    arrays = engine.run(IMAGES[:1]).arrays
    assert machine.behaviour.runs == ["encoder", "heads"] * 2
    for name in ANSWER:
        np.testing.assert_allclose(arrays[name], expected[name], rtol=0, atol=1e-6)
    assert machine.device.transfers.count(("up", texts.nbytes)) == 1
    engine.close()


def test_a_gpu_that_is_too_small_is_a_resource_error_and_leaves_nothing(machine: Machine) -> None:
    machine.build(DEMO_BUNDLE)
    machine.device.used_elsewhere = machine.device.memory - 100_000
    with pytest.raises(ResourceError, match="smaller batch"):
        TensorRtEngine(MODEL, options())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"device": "cpu"}, "needs --device cuda"),
        ({"arithmetic": "bf16"}, "no --arithmetic bf16"),
    ],
)
def test_options_of_other_engines_are_refused(
    machine: Machine, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(EngineError, match=said):
        TensorRtEngine(MODEL, options(**changes))


def test_a_plan_that_tensorrt_does_not_take_says_what_tensorrt_says(
    machine: Machine,
) -> None:
    with pytest.raises(EngineError, match=r"\(encoder\): this plan was not taken; .*Magic tag"):
        TensorRtEngine(
            MODEL, options(), lambda *_: {"encoder": CompiledPlan(b"no plan at all", 0.0)}
        )
