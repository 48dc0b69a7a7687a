"""The compiler's process: what it tells, how it ends, and what its end means."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.runtime.tensorrt.conftest import Machine
from tests.runtime.tensorrt.scenario import PROGRAM, ROOT
from vipx.demo import DEMO_BUNDLE
from vipx.errors import EngineError, ResourceError, VipxError
from vipx.runtime.engines.tensorrt.builder import compile_in_child
from vipx.runtime.engines.tensorrt.cache import open_cache
from vipx.runtime.engines.tensorrt.compiler import Request, compile_plan
from vipx.runtime.engines.tensorrt.housekeeping import list_engines


@pytest.fixture(autouse=True)
def _tests_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def request_of(folder: Path, graph: str = "heads.onnx") -> Request:
    return Request(
        graph=str(DEMO_BUNDLE / graph),
        plan=str(folder / "plan"),
        batch=1,
        typing="strong",
        workspace=1 << 28,
        level=3,
        timings=str(folder / "timings"),
    )


def test_the_child_tells_its_progress_and_leaves_a_plan_and_timings(tmp_path: Path) -> None:
    told: list[str] = []

    def progress(phase: str, step: int, steps: int) -> None:
        told.append(f"{phase} {step}/{steps}")

    compile_in_child(request_of(tmp_path), progress, (*PROGRAM, "compile", "well"))
    assert told == [f"Building Engine {n}/3" for n in (0, 1, 2, 3, 3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan", "timings"]


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ("segfault", EngineError, "crashed with SIGSEGV (assertion in a kernel)"),
        ("killed", ResourceError, "was killed, most likely because memory ran out; add swap"),
        pytest.param(
            "memory",
            ResourceError,
            "TensorRT ran out of memory (cudaMalloc: out of memory)",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_how_the_child_ends_is_one_line_with_a_remedy(
    tmp_path: Path, how: str, kind: type[VipxError], said: str
) -> None:
    with pytest.raises(kind) as caught:
        compile_in_child(request_of(tmp_path), lambda *_: None, (*PROGRAM, "compile", how))
    assert said in str(caught.value)
    assert "heads.onnx" in str(caught.value)
    assert not (tmp_path / "plan").exists()


def test_a_child_that_does_not_start_is_an_engine_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"ended with code 1 .*No module named"):
        compile_in_child(request_of(tmp_path), lambda *_: None, ("-m", "no_such_module"))


@pytest.mark.slow
def test_a_ctrl_c_stops_the_child_at_its_next_step(tmp_path: Path) -> None:
    def interrupt(phase: str, step: int, steps: int) -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        compile_in_child(request_of(tmp_path), interrupt, (*PROGRAM, "compile", "slow"))
    assert time.monotonic() - began < 60
    assert not (tmp_path / "plan").exists()


def test_a_build_that_is_stopped_says_so_and_writes_nothing(
    machine: Machine, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match="stopped"):
        compile_plan(request_of(tmp_path), lambda *_: None, lambda: True)
    assert list(tmp_path.iterdir()) == []


@contextmanager
def building(cache: Path, how: str = "build") -> Iterator["subprocess.Popen[str]"]:
    """Start a builder of the demo's bundle, and see it ended."""
    with subprocess.Popen(
        [sys.executable, *PROGRAM, how, str(DEMO_BUNDLE)],
        stdout=subprocess.PIPE,
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
        text=True,
        start_new_session=True,
    ) as process:
        yield process


def wait_for(process: "subprocess.Popen[str]", step: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(step):
            return
    raise AssertionError(f"the builder never said {step!r}")


def kill_at(step: str, cache: Path) -> None:
    with building(cache) as process:
        wait_for(process, step)
        process.kill()


def check_nothing_loads_and_building_works(cache: Path) -> None:
    root = cache / "vipx" / "engines"
    assert [p for p in root.iterdir() if len(p.name) == 16 and p.is_dir()] == []
    with building(cache) as process:
        wait_for(process, "built 3")
    assert [entry.fault for entry in list_engines(open_cache(root))] == [None] * 3
    assert list(root.glob(".*.partial-*")) == []


@pytest.mark.slow
def test_a_builder_killed_amid_a_build_leaves_nothing_that_loads(tmp_path: Path) -> None:
    kill_at("heads: Building Engine 1", tmp_path)
    check_nothing_loads_and_building_works(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["encoder", "prompts: Building Engine 2", "golden images"])
def test_a_builder_killed_at_any_step_leaves_nothing_that_loads(tmp_path: Path, step: str) -> None:
    kill_at(step, tmp_path)
    check_nothing_loads_and_building_works(tmp_path)


@pytest.mark.slow
def test_the_compiler_ends_with_its_parent(tmp_path: Path) -> None:
    """A pipe that only the two share closes when the last of them ended."""
    with building(tmp_path, "build-with-child") as process:
        wait_for(process, "encoder: Building Engine 1")
        process.kill()
        assert process.stdout is not None
        rest = threading.Thread(target=process.stdout.read)
        rest.start()
        rest.join(30)
        assert not rest.is_alive()
    assert not list(tmp_path.rglob("timings/*")), "the compiler wrote on without its parent"


@pytest.mark.slow
def test_of_two_builders_at_once_one_builds_and_the_other_uses_it(tmp_path: Path) -> None:
    with building(tmp_path) as first, building(tmp_path) as second:
        said = [process.communicate()[0].splitlines() for process in (first, second)]
        assert (first.returncode, second.returncode) == (0, 0)
    assert sorted(lines[-1] for lines in said) == ["built 0", "built 3"]
    waited = next(lines for lines in said if lines[-1] == "built 0")
    assert "all engines are there and unchanged" in waited
