"""What this machine can run, and why not."""

import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from vipx import __version__
from vipx.errors import VipxError
from vipx.runtime.engines.engine import Device, EngineOptions
from vipx.runtime.engines.onnxruntime import load_onnxruntime
from vipx.runtime.goldens import check_goldens
from vipx.runtime.inspector import Inspector

_PACKAGES = (
    "numpy",
    "pillow",
    "pydantic",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnx",
    "torch",
    "open_clip_torch",
    "tensorrt",
    "cuda-python",
    "pycuda",
    "openvino",
)


@dataclass(frozen=True, slots=True)
class EngineCheck:
    """Whether one engine ran a bundle's golden images within bounds on this machine."""

    engine: str
    device: Device
    works: bool
    detail: str


def examine(bundle: Path) -> dict[str, Any]:
    """Look at machine, packages and engines.

    Args:
        bundle: A bundle to try every engine with: real sessions, golden images, the export's bounds.
    """
    versions = {name: version for name in _PACKAGES if (version := _version(name))}
    checks = [_try_onnxruntime(bundle, device) for device in ("cpu", "cuda")]
    return {
        "vipx": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": _cores(),
        "memory_bytes": _memory(),
        "packages": versions,
        "engines": [asdict(check) for check in checks],
        "problems": _problems(versions, checks),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _try_onnxruntime(bundle: Path, device: Device) -> EngineCheck:
    try:
        runtime = load_onnxruntime()
        with Inspector.open(bundle, options=EngineOptions(device=device)) as inspector:
            differences = check_goldens(inspector)
    except VipxError as error:
        return EngineCheck("onnxruntime", device, False, str(error))
    worst = max(d.measured / d.bound for d in differences)
    detail = f"version {runtime.__version__}, golden images within {worst:.0%} of their bounds"
    return EngineCheck("onnxruntime", device, True, detail)


def _problems(versions: dict[str, str], checks: list[EngineCheck]) -> list[str]:
    problems = []
    if {"onnxruntime", "onnxruntime-gpu"} <= set(versions):
        problems.append(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other: "
            "pip uninstall both, then install one"
        )
    if not any(check.works for check in checks):
        problems.append(f"no engine works: {checks[0].detail}")
    if "onnxruntime-gpu" in versions and not checks[1].works:
        problems.append(f"onnxruntime-gpu is installed but CUDA does not run: {checks[1].detail}")
    return problems


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _cores() -> int:
    """Count the cores this process may use, not those of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None
