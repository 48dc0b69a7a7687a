"""The doctor tries engines for real, and names no person in what it writes."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from vipx.runtime.doctor import attempts, examine
from vipx.runtime.doctor.attempts import EngineCheck, Place, try_engine
from vipx.runtime.doctor.examination import anonymous, names_of_user
from vipx.runtime.engines import choice
from vipx.runtime.engines.choice import KINDS


@pytest.fixture(autouse=True)
def _no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_every_engine_is_tried_on_every_device_that_it_has(tiny_bundle: Path) -> None:
    record = examine(tiny_bundle)
    checks = [EngineCheck.model_validate_json(json.dumps(one)) for one in record["engines"]]
    assert {check.engine for check in checks} == set(KINDS)
    cpu = [check for check in checks if check.device == "cpu"]
    assert all(check.works for check in cpu), cpu
    assert all("within" in check.detail for check in cpu)
    for check in checks:
        assert check.works or check.detail
    assert record["cores"] >= 1
    assert record["packages"]["onnxruntime"] == metadata.version("onnxruntime")
    assert record["cache"] is None


def test_the_report_is_json_without_the_users_name(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "jane.doe")
    broken = tmp_path / "jane.doe" / "part.vipx"
    text = json.dumps(examine(broken))
    assert "jane.doe" not in text
    assert str(tmp_path) not in text
    assert "~/USER/part.vipx: no such bundle" in text


def test_names_are_replaced_wherever_they_stand() -> None:
    record = {"a": ["/home/eve/x", {"b": ("eve",)}], "n": 3, "none": None}
    cleaned = anonymous(record, {"/home/eve": "~", "eve": "USER"})
    assert cleaned == {"a": ["~/x", {"b": ["USER"]}], "n": 3, "none": None}


def test_a_name_that_is_also_a_word_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "root")
    monkeypatch.setenv("HOME", "/")
    assert names_of_user() == {}


def test_a_broken_bundle_is_a_problem_and_not_a_crash(tmp_path: Path) -> None:
    record = examine(tmp_path)
    assert not any(check["works"] for check in record["engines"])
    assert "no engine works" in record["problems"][0]["problem"]
    assert all(problem["remedy"] for problem in record["problems"])


def test_a_child_gives_what_the_attempt_gives(tiny_bundle: Path) -> None:
    command = [sys.executable, "-m", "vipx.runtime.doctor.child", "0"]
    done = subprocess.run([*command, str(tiny_bundle)], capture_output=True, check=True)
    assert EngineCheck.model_validate_json(done.stdout).works


def test_an_engine_that_kills_its_process_is_a_check_that_failed(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\necho driver exploded >&2\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    present = {name: _Present() for name in KINDS}
    monkeypatch.setattr(choice, "KINDS", present)
    monkeypatch.setattr("sys.executable", str(crashing))
    check = try_engine(Place("tensorrt", "cuda"), tiny_bundle)
    assert check.installed
    assert not check.works
    assert "ended with -11" in check.detail


def test_an_engine_that_hangs_is_left(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec sleep 30\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(choice, "KINDS", {name: _Present() for name in KINDS})
    monkeypatch.setattr(attempts, "SECONDS_MOST", 0.2)
    monkeypatch.setattr("sys.executable", str(hanging))
    assert "did not answer" in try_engine(Place("onnxruntime", "cuda"), tiny_bundle).detail


class _Present:
    """An engine that claims to be usable."""

    def missing(self, device: str) -> None:
        return None
