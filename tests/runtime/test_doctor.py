"""The doctor tries engines for real and names what is wrong."""

from importlib import metadata
from pathlib import Path

import pytest

from vipx.runtime import doctor
from vipx.runtime.doctor import examine


def test_the_cpu_runs_the_golden_images(tiny_bundle: Path) -> None:
    record = examine(tiny_bundle)
    cpu = next(e for e in record["engines"] if e["device"] == "cpu")
    assert cpu["works"], cpu
    assert record["cores"] >= 1
    assert record["packages"]["onnxruntime"] == metadata.version("onnxruntime")


def test_a_device_that_is_not_there_is_said_to_be_missing(tiny_bundle: Path) -> None:
    cuda = next(e for e in examine(tiny_bundle)["engines"] if e["device"] == "cuda")
    assert cuda["works"] or "CUDA" in cuda["detail"]


def test_packages_that_overwrite_each_other_are_named(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: "1.0" if "onnxruntime" in name else None)
    problems = examine(tiny_bundle)["problems"]
    assert any("overwrite each other" in problem for problem in problems)


def test_a_broken_bundle_is_a_problem_and_not_a_crash(tmp_path: Path) -> None:
    record = examine(tmp_path)
    assert not any(e["works"] for e in record["engines"])
    assert any("no engine works" in problem for problem in record["problems"])
