"""Looks at machine, packages, engines and caches, and gives a report that can be pasted anywhere."""

import getpass
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vipx import __version__
from vipx.runtime.bench.machine import PACKAGES, conditions, machine, version
from vipx.runtime.doctor.attempts import PLACES, try_engine
from vipx.runtime.doctor.caches import check_cache
from vipx.runtime.doctor.problems import LOOKED_FOR, Findings, problems

_MORE_PACKAGES = ("pydantic", "onnx", "torch", "open_clip_torch")
_COMMON_NAMES = frozenset({"root", "user", "admin", "ubuntu", "vipx", "test"})


def examine(bundle: Path) -> dict[str, Any]:
    """Look at everything, and try every engine.

    Args:
        bundle: A bundle to try the engines with: real sessions, golden images, the export's bounds.
    """
    facts = machine()
    names = dict.fromkeys((*PACKAGES, *LOOKED_FOR, *_MORE_PACKAGES))
    packages = {name: found for name in names if (found := version(name)) is not None}
    checks = [try_engine(place, bundle) for place in PLACES]
    cache = check_cache()
    findings = Findings(sys.version_info[:2], packages, checks, facts.gpu, cache)
    record = (
        {"vipx": __version__}
        | facts.model_dump(mode="json")
        | {
            "packages": packages,
            "state": conditions().model_dump(mode="json"),
            "engines": [check.model_dump(mode="json") for check in checks],
            "cache": None if cache is None else cache.model_dump(mode="json"),
            "problems": [problem.model_dump(mode="json") for problem in problems(findings)],
        }
    )
    return anonymous(record, names_of_user())


def names_of_user() -> dict[str, str]:
    """Give what would name the user, and what shall stand in its place; longer ones first."""
    found = {str(Path.home()): "~"}
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        return found
    if len(name) > 2 and name not in _COMMON_NAMES:
        found[name] = "USER"
    return {name: place for name, place in found.items() if len(name) > 2}


def anonymous(value: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 - plain data of any shape
    """Give the same plain data without these names in any text."""
    if isinstance(value, str):
        for name, place in names.items():
            value = value.replace(name, place)
        return value
    if isinstance(value, Mapping):
        return {key: anonymous(each, names) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [anonymous(each, names) for each in value]
    return value
