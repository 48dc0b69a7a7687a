"""Says what a plan depends on; two plans are the same only if all of it is."""

import hashlib
import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from vipx.errors import BundleError
from vipx.runtime.cuda.backend import DeviceFacts
from vipx.runtime.engines.engine import Model
from vipx.runtime.engines.tensorrt.compiler import Typing

Role = Literal["encoder", "prompts", "heads"]
# Of what vipx asks the builder for and keeps beside a plan; another one means that all are built again.
REVISION = 2
_L4T = Path("/etc/nv_tegra_release")
_FLAVOURS = ("tensorrt_cu12_libs", "tensorrt_cu13_libs", "tensorrt_libs")


@dataclass(frozen=True, slots=True)
class Environment:
    """What of this machine a plan depends on.

    Attributes:
        tensorrt: Its version in full.
        flavour: The package that its libraries came in, or `system`.
        driver: CUDA generation of the driver.
        gpu: Name of the device.
        capability: Compute capability, such as `8.7`.
        memory_gib: The device's memory, rounded.
        platform: System and processor.
        l4t: NVIDIA's name of a Jetson's system; empty elsewhere.
    """

    tensorrt: str
    flavour: str
    driver: int
    gpu: str
    capability: str
    memory_gib: int
    platform: str
    l4t: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What a plan depends on beside graph and machine.

    Attributes:
        batch: The one batch that it runs.
        typing: `weak` only for the encoder, only before TensorRT 10.12, only where `strong` failed.
        level: How hard the builder tries, 0 to 5.
        workspace: Most MiB that a layer may use for itself; None takes a share of what is free.
    """

    batch: int = 1
    typing: Typing = "strong"
    level: int = 3
    workspace: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan that a model needs.

    Attributes:
        role: Its place in the model.
        graph: The ONNX file that it is compiled from.
        typing: How types are chosen.
        facts: All that it depends on.
        key: What it is found by.
    """

    role: Role
    graph: Path
    typing: Typing
    facts: Mapping[str, Any]
    key: str


def environment_of(library: ModuleType, device: DeviceFacts) -> Environment:
    """Look at this machine."""
    return Environment(
        tensorrt=str(library.__version__),
        flavour=next((f"{n} {v}" for n in _FLAVOURS if (v := _installed(n))), "system"),
        driver=device.driver // 1000,
        gpu=device.name,
        capability=".".join(map(str, device.capability)),
        memory_gib=round(device.memory / 2**30),
        platform=f"{sys.platform} {platform.machine()}",
        l4t=_L4T.read_text(encoding="utf-8").strip() if _L4T.is_file() else "",
    )


def plans_of(model: Model, environment: Environment, settings: Settings) -> tuple[Plan, ...]:
    """List the plans that a model needs on this machine."""
    graphs: dict[Role, Path | None] = {
        "encoder": model.encoder,
        "prompts": model.prompts,
        "heads": model.heads,
    }
    return tuple(
        _plan(model, role, graph, environment, settings)
        for role, graph in graphs.items()
        if graph is not None
    )


def key_of(facts: Mapping[str, Any]) -> str:
    """Give the 16 hexadecimal digits that stand for facts."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def approval_key(model: Model, environment: Environment, batch: int) -> str:
    """Give the key under which it is kept that a bundle's plans passed together."""
    facts = {
        "bundle": model.identity,
        "precision": model.precision,
        "batch": batch,
        "revision": REVISION,
        "environment": asdict(environment),
    }
    return key_of(facts)


def _plan(
    model: Model, role: Role, graph: Path, environment: Environment, settings: Settings
) -> Plan:
    # The tail is float32 and needs no help: only an encoder is ever typed weakly.
    typing: Typing = settings.typing if role == "encoder" else "strong"
    facts = {
        "revision": REVISION,
        "graph": _hashes(model, graph),
        "batch": settings.batch,
        "typing": typing,
        "level": settings.level,
        "workspace": settings.workspace,
        "environment": asdict(environment),
    }
    return Plan(role, graph, typing, facts, key_of(facts))


def _hashes(model: Model, graph: Path) -> list[str]:
    """Give the hashes of a graph and of the weights beside it, which the bundle was verified by."""
    name = graph.relative_to(model.folder).as_posix()
    if name not in model.sha256:
        raise BundleError(f"{graph}: no hash of this file is known; export the bundle again")
    return [model.sha256[n] for n in (name, f"{name}.data") if n in model.sha256]


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
