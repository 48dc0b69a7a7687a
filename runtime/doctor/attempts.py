"""Tries engines for real: a session on a bundle, its golden images, the bounds of its export."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from vipx.errors import VipxError
from vipx.manifest import Record
from vipx.runtime.engines.choice import KINDS
from vipx.runtime.engines.engine import Device, EngineName, EngineOptions
from vipx.runtime.goldens import check_goldens
from vipx.runtime.inspector import Inspector

SECONDS_MOST = 300  # for one engine; a driver that hangs must not hang the doctor


@dataclass(frozen=True, slots=True)
class Place:
    """An engine on a device."""

    engine: EngineName
    device: Device


# All that vipx has, those that run anywhere first.
PLACES = (
    Place("onnxruntime", "cpu"),
    Place("openvino", "cpu"),
    Place("onnxruntime", "cuda"),
    Place("tensorrt", "cuda"),
)


class EngineCheck(Record):
    """Whether one engine ran a bundle's golden images within bounds on this machine.

    Attributes:
        engine: Its name.
        device: Where.
        installed: Whether it could be tried at all.
        works: Whether it answered within the bounds.
        detail: What it is and how close it came, or the reason why not, with the remedy.
    """

    engine: EngineName
    device: Device
    installed: bool
    works: bool
    detail: str


def try_engine(place: Place, bundle: Path) -> EngineCheck:
    """Try one engine; on a GPU in a process of its own, since a broken driver ends the one that it is in."""
    reason = KINDS[place.engine].missing(place.device)
    if reason is not None:
        return _failed(place, reason, installed=False)
    return attempt(place, bundle) if place.device == "cpu" else _in_child(place, bundle)


def attempt(place: Place, bundle: Path) -> EngineCheck:
    """Run the golden images here and now."""
    options = EngineOptions(engine=place.engine, device=place.device)
    try:
        with Inspector.open(bundle, options=options) as inspector:
            differences = check_goldens(inspector)
            line = inspector.description.line
    except VipxError as error:
        return _failed(place, str(error), installed=True)
    worst = max(d.measured / d.bound for d in differences)
    detail = f"{line}: golden images within {worst:.0%} of their bounds"
    return EngineCheck(
        engine=place.engine, device=place.device, installed=True, works=True, detail=detail
    )


def _in_child(place: Place, bundle: Path) -> EngineCheck:
    command = [sys.executable, "-m", "vipx.runtime.doctor.child", place.engine, place.device]
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
    return EngineCheck(
        engine=place.engine, device=place.device, installed=installed, works=False, detail=reason
    )
