"""`vipx build` and `vipx engines` put data on stdout and the rest on stderr."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from tests.runtime.tensorrt.conftest import Machine
from vipx.commands.build import build
from vipx.commands.engines import engines
from vipx.console import VipxGroup
from vipx.demo import DEMO_BUNDLE
from vipx.runtime.engines.tensorrt.compiler import compile_plan


def run(*arguments: object) -> Result:
    group = click.Group("vipx", commands={"build": build, "engines": engines})
    group.__class__ = VipxGroup
    return CliRunner().invoke(group, [*map(str, arguments)])


@pytest.fixture
def here(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The compiler in this process: its own has a test file of its own."""
    monkeypatch.setattr("vipx.runtime.engines.tensorrt.building.compile_in_child", compile_plan)
    return machine


def test_build_tells_engines_machine_and_parity(here: Machine) -> None:
    result = run("build", DEMO_BUNDLE, "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert [plan["role"] for plan in record["plans"]] == ["encoder", "prompts", "heads"]
    assert record["environment"]["gpu"] == "Fake GPU 8"
    assert {d["output"] for d in record["parity"]} == {"score", "anomaly_map"}
    again = run("build", DEMO_BUNDLE)
    assert again.stdout.count("was there") == 3
    assert "TensorRT 10.16.1.11 on Fake GPU 8, batch 1, strongly typed" in again.stdout
    assert "of their bounds" in again.stdout


def test_build_without_a_gpu_is_one_line_and_exit_code_5() -> None:
    result = run("build", DEMO_BUNDLE)
    assert result.exit_code == 5
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "no NVIDIA driver" in result.stderr


def test_build_of_no_bundle_is_exit_code_4(here: Machine, tmp_path: Path) -> None:
    result = run("build", tmp_path / "none.vipx")
    assert result.exit_code == 4
    assert "no such bundle" in result.stderr


def test_a_failed_gate_is_exit_code_6_and_memory_7(here: Machine) -> None:
    here.behaviour.spoil = 0.5
    assert run("build", DEMO_BUNDLE).exit_code == 6
    here.behaviour.fail = "out of memory"
    assert run("build", DEMO_BUNDLE).exit_code == 7


def test_unfused_attention_is_told(here: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "vipx.runtime.engines.tensorrt.graph.Graph.fused_attention", lambda graph: 4
    )
    assert "only 4 of 6 attention blocks" in run("build", DEMO_BUNDLE).stderr


def test_engines_are_listed_with_what_a_person_would_ask(here: Machine) -> None:
    assert run("engines", "list").stdout == ""
    run("build", DEMO_BUNDLE)
    result = run("engines", "list")
    assert result.exit_code == 0
    assert [line.split()[1] for line in result.stdout.splitlines()].count("encoder") == 1
    assert "TensorRT 10.16.1.11  Fake GPU 8" in result.stdout
    assert "3 engines" in result.stderr
    entries = [json.loads(line) for line in run("engines", "list", "--json").stdout.splitlines()]
    assert {entry["role"] for entry in entries} == {"encoder", "prompts", "heads"}
    assert all(entry["fault"] is None and entry["size"] > 0 for entry in entries)


def test_pruning_removes_what_is_never_loaded_and_no_more(here: Machine) -> None:
    run("build", DEMO_BUNDLE)
    folders = [path for path in here.cache.iterdir() if len(path.name) == 16]
    (folders[0] / "plan").write_bytes(b"changed")
    assert "never loaded: " in run("engines", "list").stdout
    (here.cache / ".abandoned.partial-1-00000000").mkdir()
    result = run("engines", "prune", "--json")
    assert [json.loads(line)["key"] for line in result.stdout.splitlines()] == [folders[0].name]
    assert not folders[0].exists()
    assert list(here.cache.glob(".*")) == []
    assert list((here.cache / "approved").iterdir()) == []
    run("build", DEMO_BUNDLE)
    assert len(here.behaviour.builds) == 4


def test_pruning_by_age_and_all(here: Machine) -> None:
    run("build", DEMO_BUNDLE)
    assert run("engines", "prune", "--older-than", 1).stdout == ""
    assert len(run("engines", "prune", "--older-than", 0).stdout.splitlines()) == 3
    run("build", DEMO_BUNDLE)
    assert len(run("engines", "prune", "--all").stdout.splitlines()) == 3
    assert sorted(path.name for path in here.cache.iterdir()) == ["approved", "lock"]
    assert run("engines", "prune", "--all", "--older-than", 1).exit_code == 2
