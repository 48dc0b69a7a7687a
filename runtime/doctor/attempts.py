"""Tries engines for real: a session on a bundle, its golden images, the bounds of its export."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from vipx.errors import VipxError
from vipx.manifest import Record
from vipx.runtime.engines.choice import missing
from vipx.runtime.engines.engine import Device, EngineName, EngineOptions, Provider
from vipx.runtime.goldens import check_goldens
from vipx.runtime.inspector import Inspector

SECONDS_MOST = 300  # for one engine; a driver that hangs must not hang the doctor


@dataclass(frozen=True, slots=True)
class Place:
    """An engine on a device, and what ONNX Runtime reaches that with."""

    engine: EngineName
    device: Device
    provider: Provider = "cuda"


# All that vipx has, those that run anywhere first.
PLACES = (
    Place("onnxruntime", "cpu"),
    Place("openvino", "cpu"),
    Place("onnxruntime", "cuda"),
    Place("onnxruntime", "cuda", "tensorrt"),
    Place("onnxruntime", "cuda", "tensorrt-rtx"),
    Place("tensorrt", "cuda"),
)


class EngineCheck(Record):
    """Whether one engine ran a bundle's golden images within bounds on this machine.

    Attributes:
        engine: Its name.
        device: Where.
        provider: What ONNX Runtime reaches it with, where that is not its default.
        installed: Whether it could be tried at all.
        works: Whether it answered within the bounds.
        detail: What it is and how close it came, or the reason why not, with the remedy.
    """

    engine: EngineName
    device: Device
    provider: Provider | None = None
    installed: bool
    works: bool
    detail: str

    @property
    def name(self) -> str:
        """Name it for a person."""
        by = f" by {self.provider}" if self.provider else ""
        return f"{self.engine} on {self.device}{by}"


def try_engine(place: Place, bundle: Path) -> EngineCheck:
    """Try one engine; on a GPU in a process of its own, since a broken driver ends the one that it is in."""
    if (reason := missing(place.engine, place.device, place.provider)) is not None:
        return _failed(place, reason, installed=False)
    return attempt(place, bundle) if place.device == "cpu" else _in_child(place, bundle)


def attempt(place: Place, bundle: Path) -> EngineCheck:
    """Run the golden images here and now."""
    options = EngineOptions(engine=place.engine, device=place.device, provider=place.provider)
    try:
        with Inspector.open(bundle, options=options) as inspector:
            differences = check_goldens(inspector)
            line = inspector.description.line
    except VipxError as error:
        return _failed(place, str(error), installed=True)
    worst = max(d.measured / d.bound for d in differences)
    detail = f"{line}: golden images within {worst:.0%} of their bounds"
    return _check(place, detail, installed=True, works=True)


def _in_child(place: Place, bundle: Path) -> EngineCheck:
    command = [sys.executable, "-m", "vipx.runtime.doctor.child", str(PLACES.index(place))]
    try:
        done = subprocess.run(
            [*command, str(bundle)], capture_output=True, timeout=SECONDS_MOST, check=False
        )
    except subprocess.TimeoutExpired:
        reason = f"did not answer within {SECONDS_MOST} s; restart the machine or renew the driver"
        return _failed(place, reason, installed=True)
    try:
        return EngineCheck.model_validate_json(done.stdout)
    except ValidationError:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        told = f" ({last[0]})" if last else ""
        reason = f"its process ended with {done.returncode}{told}; renew the driver or the package"
        return _failed(place, reason, installed=True)


def _failed(place: Place, reason: str, *, installed: bool) -> EngineCheck:
    return _check(place, reason, installed=installed, works=False)


def _check(place: Place, detail: str, *, installed: bool, works: bool) -> EngineCheck:
    provider = None if place.provider == "cuda" else place.provider
    return EngineCheck(
        engine=place.engine,
        device=place.device,
        provider=provider,
        installed=installed,
        works=works,
        detail=detail,
    )
