"""What a machine is, and the state it is in; nothing here names a person, a host or a folder."""

import os
import platform
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from vipx.runtime.bench.nvml import first_gpu
from vipx.runtime.bench.record import ConditionsRecord, MachineRecord

PACKAGES = (
    "numpy",
    "pillow",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "cuda-python",
    "cuda-bindings",
    "pycuda",
)
_SYSTEM = Path("/sys")
_CPUINFO = Path("/proc/cpuinfo")
_SECONDS_MOST = 5.0  # for a program that tells the power mode


def machine() -> MachineRecord:
    """Say what this machine is."""
    with first_gpu() as gpu:
        found = None if gpu is None else gpu.record()
    return MachineRecord(
        processor=processor(),
        architecture=platform.machine(),
        cores=cores(),
        memory=memory(),
        gpu=found,
        jetson=_jetson(),
        system=platform.platform(),
        python=sys.version.split()[0],
        packages={name: v for name in PACKAGES if (v := version(name)) is not None},
    )


def conditions() -> ConditionsRecord:
    """Say which state this machine is in now."""
    with first_gpu() as gpu:
        counters = (None,) * 3 if gpu is None else (gpu.megahertz(), gpu.celsius(), gpu.throttle())
    return ConditionsRecord(
        load=_load(),
        governor=_governor(),
        cpu_megahertz=_megahertz(),
        celsius=_celsius(),
        power_mode=_told("nvpmodel", "-q"),
        jetson_clocks=_told("jetson_clocks", "--show"),
        gpu_megahertz=counters[0],
        gpu_celsius=counters[1],
        gpu_throttle=counters[2],
    )


def version(package: str) -> str | None:
    """Give the version of an installed package; None where it is not."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def processor() -> str:
    """Give the CPU's model."""
    names = re.findall(r"^model name\s*: (.+)$", _text(_CPUINFO) or "", re.MULTILINE)
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """Count the cores this process may use, not those of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> int | None:
    """Give the machine's memory in bytes."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _governor() -> str | None:
    paths = _SYSTEM.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    return ", ".join(sorted({text for path in paths if (text := _text(path))})) or None


def _megahertz() -> float | None:
    told = re.findall(r"^cpu MHz\s*: ([\d.]+)$", _text(_CPUINFO) or "", re.MULTILINE)
    clocks = [float(value) for value in told]
    if not clocks:  # ARM has no such line
        paths = _SYSTEM.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
        clocks = [int(text) / 1000 for path in paths if (text := _text(path) or "").isdecimal()]
    return round(sum(clocks) / len(clocks), 1) if clocks else None


def _celsius() -> float | None:
    texts = (_text(path) for path in _SYSTEM.glob("class/thermal/thermal_zone*/temp"))
    zones = [int(text) / 1000 for text in texts if text and text.lstrip("-").isdecimal()]
    return max(zones, default=None)


def _jetson() -> str | None:
    release = _text(Path("/etc/nv_tegra_release"))
    if release is None:
        return None
    model = (_text(Path("/proc/device-tree/model")) or "Jetson").rstrip("\0")
    return f"{model}; {release.splitlines()[0].lstrip('# ')}"


def _told(*command: str) -> str | None:
    """Ask one of Jetson's programs; None where it is not there, needs root or does not answer."""
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *command[1:]],
            capture_output=True,
            text=True,
            timeout=_SECONDS_MOST,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return " ".join(done.stdout.split()) or None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
