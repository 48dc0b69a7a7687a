"""What a machine tells of itself, and that it tells nothing of its owner."""

import ctypes
import mmap
from getpass import getuser
from pathlib import Path
from typing import Any

import pytest

from vipx.runtime.bench import machine as machine_module
from vipx.runtime.bench import memory, nvml
from vipx.runtime.bench.machine import conditions, machine

JETSON_QUERY = "NV Power Mode: MAXN\n0\n"


class FakeNvml:
    """NVML's functions as its header has them, over one GPU; it counts who has it open."""

    def __init__(self) -> None:
        self.open = 0
        self.index: int | None = None

    def nvmlInit_v2(self) -> int:
        self.open += 1
        return 0

    def nvmlShutdown(self) -> int:
        self.open -= 1
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, handle: Any) -> int:
        self.index = index
        handle._obj.value = 77
        return 0

    def nvmlDeviceGetName(self, handle: ctypes.c_void_p, name: Any, length: int) -> int:
        assert handle.value == 77
        name.value = b"NVIDIA Fake"
        return 0

    def nvmlSystemGetDriverVersion(self, version: Any, length: int) -> int:
        version.value = b"600.1"
        return 0

    def nvmlDeviceGetMemoryInfo(self, handle: ctypes.c_void_p, memory: Any) -> int:
        memory._obj.total, memory._obj.used = 8 * 2**30, 2**30
        return 0

    def nvmlDeviceGetClockInfo(self, handle: ctypes.c_void_p, kind: int, value: Any) -> int:
        assert kind == 1  # NVML_CLOCK_SM
        value._obj.value = 1980
        return 0

    def nvmlDeviceGetTemperature(self, handle: ctypes.c_void_p, sensor: int, value: Any) -> int:
        return 3  # NVML_ERROR_NOT_SUPPORTED, as on a Jetson


def test_a_gpu_is_described_and_what_it_does_not_know_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = FakeNvml()
    monkeypatch.setattr(nvml, "_load", lambda: library)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    with nvml.first_gpu() as gpu:
        assert gpu is not None
        assert gpu.record().model_dump() == {
            "name": "NVIDIA Fake", "driver": "600.1", "memory": 8 * 2**30,
        }  # fmt: skip
        assert gpu.used() == 2**30
        assert gpu.megahertz() == 1980
        assert gpu.celsius() is None
        assert gpu.throttle() is None  # the library has no such function
    assert library.open == 0
    assert library.index == 2


def test_no_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "_load", lambda: None)
    with nvml.first_gpu() as gpu:
        assert gpu is None


def test_the_state_is_read_where_linux_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frequency = tmp_path / "devices/system/cpu/cpu0/cpufreq"
    zones = [tmp_path / f"class/thermal/thermal_zone{n}" for n in range(2)]
    for folder in (frequency, *zones):
        folder.mkdir(parents=True)
    (frequency / "scaling_governor").write_text("powersave\n")
    (frequency / "scaling_cur_freq").write_text("1500000\n")
    for zone, value in zip(zones, (41000, 63500), strict=True):
        (zone / "temp").write_text(f"{value}\n")
    (tmp_path / "cpuinfo").write_text("processor\t: 0\n")
    monkeypatch.setattr(machine_module, "_SYSTEM", tmp_path)
    monkeypatch.setattr(machine_module, "_CPUINFO", tmp_path / "cpuinfo")
    found = conditions()
    assert found.governor == "powersave"
    assert found.celsius == 63.5
    assert found.cpu_megahertz == 1500.0


def test_a_jetson_tells_its_power_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, body in (
        ("nvpmodel", 'echo "NV Power Mode: MAXN"; echo 0'),
        ("jetson_clocks", "exit 1"),
    ):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = conditions()
    assert found.power_mode == "NV Power Mode: MAXN 0"
    assert found.jetson_clocks is None  # it needs root


def test_a_program_that_is_not_there_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert conditions().power_mode is None


def test_the_machine_names_no_person_and_no_place() -> None:
    text = machine().model_dump_json()
    assert str(Path.home()) not in text.replace(str(Path("/")), "/") or str(Path.home()) == "/"
    assert f'"{getuser()}"' not in text


def test_memory_is_that_of_this_process() -> None:
    held, most = memory.resident(), memory.peak()
    assert most is not None
    before = most
    ballast = mmap.mmap(-1, 30_000_000)  # of its own: the heap may hold as much that is free
    ballast.write(b"x" * len(ballast))
    grown = memory.peak()
    assert grown is not None
    assert grown >= before
    if held is not None:
        now = memory.resident()
        assert now is not None
        assert now >= held + 20_000_000
    ballast.close()


def test_without_proc_the_peak_comes_from_getrusage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = memory.peak()
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "none")
    assert memory.resident() is None
    told = memory.peak()
    assert known is not None
    assert told is not None
    assert told == pytest.approx(known, rel=0.2)
