"""What does not give the golden answers on this device is not kept; before 10.12 there is a second way."""

from pathlib import Path

import pytest

from tests.runtime.tensorrt.conftest import Machine
from vipx.bundle import read_bundle
from vipx.demo import DEMO_BUNDLE
from vipx.errors import EngineError, GateError, ResourceError
from vipx.runtime.engines.engine import EngineOptions
from vipx.runtime.engines.models import model_of
from vipx.runtime.engines.tensorrt import TensorRtEngine
from vipx.runtime.engines.tensorrt.building import Wish
from vipx.runtime.engines.tensorrt.cache import open_cache
from vipx.runtime.engines.tensorrt.housekeeping import list_engines


def kept(machine: Machine) -> list[str]:
    assert list(machine.cache.glob(".*")) == []
    approved = machine.cache / "approved"
    assert not approved.exists() or list(approved.iterdir()) == []
    return [entry.key for entry in list_engines(open_cache())]


@pytest.mark.parametrize("spoil", [0.5, float("nan")])
def test_an_engine_with_other_answers_is_kept_nowhere(machine: Machine, spoil: float) -> None:
    machine.behaviour.spoil = spoil
    with pytest.raises(GateError, match="do not use this engine"):
        machine.build(DEMO_BUNDLE)
    assert machine.behaviour.builds == ["encoder", "prompts", "heads"]
    assert kept(machine) == []


def test_a_gate_that_fails_takes_nothing_from_what_passed_before(machine: Machine) -> None:
    machine.build(DEMO_BUNDLE)
    machine.behaviour.spoil = 0.5
    with pytest.raises(GateError):
        machine.build(DEMO_BUNDLE, Wish(anew=True))
    engine = TensorRtEngine(model_of(read_bundle(DEMO_BUNDLE)), EngineOptions())
    engine.close()


def test_what_the_gate_measured_is_kept_with_the_engines(machine: Machine) -> None:
    built = machine.build(DEMO_BUNDLE)
    assert {d.output for d in built.parity} == {"score", "anomaly_map"}
    assert all(0 < d.measured <= d.bound for d in built.parity)
    assert "golden images" in machine.said


@pytest.mark.parametrize("version", ["10.13", "10.16", "11.4"])
def test_from_10_12_on_a_refused_graph_is_an_error(
    machine: Machine, tiny_bundle: Path, version: str
) -> None:
    machine.become(version)
    machine.behaviour.refuse_strong = True
    with pytest.raises(EngineError, match=r"encoder\.fp16\.onnx: TensorRT refuses .*mixed types"):
        machine.build(tiny_bundle, Wish("fp16"))
    assert kept(machine) == []


def test_before_10_12_a_refused_graph_is_built_weakly_typed_from_float32(
    machine: Machine, tiny_bundle: Path
) -> None:
    machine.become("10.3")
    machine.behaviour.refuse_strong = True
    built = machine.build(tiny_bundle, Wish("fp16"))
    assert built.settings.typing == "weak"
    assert machine.behaviour.builds == ["encoder", "prompts", "heads"]
    assert any("mixed types" in said and "weakly typed" in said for said in machine.said)
    TensorRtEngine(model_of(read_bundle(tiny_bundle), "fp16"), EngineOptions()).close()


def test_before_10_12_a_failed_gate_leads_to_weak_typing_too(
    machine: Machine, tiny_bundle: Path
) -> None:
    machine.become("10.3")
    machine.behaviour.spoil_strong = float("nan")
    built = machine.build(tiny_bundle, Wish("fp16"))
    assert built.settings.typing == "weak"
    assert any("do not use this engine" in said for said in machine.said)
    strong, weak = ["encoder.fp16", "prompts", "heads"], ["encoder", "prompts", "heads"]
    assert machine.behaviour.builds == strong + weak, "of the first way nothing is kept"


def test_float32_is_never_typed_weakly(machine: Machine) -> None:
    machine.become("10.3")
    machine.behaviour.refuse_strong = True
    with pytest.raises(EngineError, match="mixed types"):
        machine.build(DEMO_BUNDLE)


def test_out_of_memory_says_what_to_do(machine: Machine) -> None:
    machine.behaviour.fail = "Error Code 2: OutOfMemory (Requested size was 617 MiB)"
    with pytest.raises(ResourceError, match=r"add swap.*--workspace"):
        machine.build(DEMO_BUNDLE)
    assert kept(machine) == []
