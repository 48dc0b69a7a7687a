"""Each conflict is named with its remedy, and nothing is named that is none."""

import os
from pathlib import Path

import pytest

from vipx.runtime.bench.record import GpuRecord
from vipx.runtime.doctor.attempts import EngineCheck
from vipx.runtime.doctor.caches import CacheCheck, check_cache
from vipx.runtime.doctor.problems import Findings, problems
from vipx.runtime.engines.tensorrt.cache import PLAN, RECORD, seal

WORKS = EngineCheck(engine="onnxruntime", device="cpu", installed=True, works=True, detail="")
ABSENT = EngineCheck(
    engine="tensorrt", device="cuda", installed=False, works=False, detail="no driver"
)
BROKEN = EngineCheck(
    engine="onnxruntime", device="cuda", installed=True, works=False, detail="no libcudnn"
)
GPU = GpuRecord(name="NVIDIA T9", driver="600", memory=None)


def told(*checks: EngineCheck, python: tuple[int, int] = (3, 11), **rest: object) -> list[str]:
    packages = rest.pop("packages", {})
    found = Findings(python, packages, checks or (WORKS,), **rest)  # type: ignore[arg-type]
    return [f"{one.problem} -> {one.remedy}" for one in problems(found)]


def test_a_sound_machine_has_no_problem() -> None:
    assert told(WORKS, ABSENT, packages={"onnxruntime": "1.31.1", "openvino": "2026.4"}) == []


@pytest.mark.parametrize(
    ("packages", "named"),
    [
        ({"onnxruntime": "1.31", "onnxruntime-gpu": "1.31"}, "pip uninstall onnxruntime onnxruntime-gpu"),
        ({"onnxruntime-gpu": "1.31", "onnxruntime-openvino": "1.2"}, "overwrite"),
        ({"tensorrt": "11.4.1", "onnxruntime-gpu": "1.31", "cuda-python": "13"}, "TensorRT 10"),
        ({"tensorrt-cu13": "11.4.1", "onnxruntime-gpu": "1.31", "pycuda": "2026"}, "TensorRT 10"),
        ({"tensorrt-cu12": "10.3", "tensorrt-cu13": "11.4", "pycuda": "2026"}, "together"),
        ({"tensorrt": "10.13"}, "pip install cuda-python"),
    ],
)  # fmt: skip
def test_conflicting_packages_are_named(packages: dict[str, str], named: str) -> None:
    found = told(packages=packages)
    assert len(found) == 1, found
    assert named in found[0]


def test_tensorrt_10_goes_with_onnxruntime_gpu() -> None:
    packages = {"tensorrt": "10.13", "onnxruntime-gpu": "1.31", "cuda-python": "13"}
    assert told(packages=packages) == []


@pytest.mark.parametrize(("version", "word"), [((3, 8), "too old"), ((3, 14), "newer")])
def test_a_python_out_of_range_is_named(version: tuple[int, int], word: str) -> None:
    assert word in told(python=version)[0]
    assert told(python=(3, 10)) == []


def test_an_installed_engine_that_fails_is_named_and_an_absent_one_is_not() -> None:
    found = told(WORKS, ABSENT, BROKEN)
    assert len(found) == 1
    assert "no libcudnn" in found[0]


def test_without_any_engine_every_reason_is_named() -> None:
    first = told(ABSENT, BROKEN)[0]
    assert "no driver" in first
    assert "no libcudnn" in first


def test_a_gpu_that_nothing_uses_is_named() -> None:
    assert "NVIDIA T9 is here" in told(WORKS, gpu=GPU)[0]
    on_gpu = BROKEN.model_copy(update={"works": True})
    assert told(WORKS, on_gpu, gpu=GPU) == []


def built(root: Path, key: str, plan: bytes, *, spoil: bool = False) -> None:
    import hashlib

    place = root / key
    place.mkdir(mode=0o700)
    digest = hashlib.sha256(plan).hexdigest()
    (place / RECORD).write_bytes(seal({"key": key, "plan_sha256": digest}))
    (place / PLAN).write_bytes(plan + (b"!" if spoil else b""))


def test_altered_and_halved_engines_are_named(tmp_path: Path) -> None:
    root = tmp_path / "engines"
    root.mkdir(mode=0o700)
    built(root, "good", b"plan")
    built(root, "bad", b"plan", spoil=True)
    built(root, "half", b"plan")
    (root / "half" / PLAN).unlink()
    built(root, "torn", b"plan")
    (root / "torn" / RECORD).write_bytes(b"{}")
    (root / "approved").mkdir()
    found = check_cache(root)
    assert found is not None
    assert (found.engines, found.size) == (1, 4)
    assert [fault.split(":")[0] for fault in found.faults] == ["bad", "half", "torn"]
    assert len(told(cache=found)) == 3


@pytest.mark.skipif(os.name == "nt", reason="no such permissions there")
def test_a_cache_open_to_others_is_named(tmp_path: Path) -> None:
    root = tmp_path / "engines"
    root.mkdir()
    root.chmod(0o755)
    found = check_cache(root)
    assert found == CacheCheck(
        folder=str(root), engines=0, size=0, faults=("the folder is open to other users",)
    )


def test_where_nothing_was_built_there_is_nothing_to_check(tmp_path: Path) -> None:
    assert check_cache(tmp_path / "none") is None
