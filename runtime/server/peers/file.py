"""Reads the server's configuration file; every mistake is one line with the file, the key and the remedy."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from vipx.errors import UsageError
from vipx.runtime.server.peers.records import LineRecord
from vipx.toml_file import read_toml

PEERS = ("folder", "camera", "webhook", "csv", "mqtt", "opcua", "modbus")
_SECRETS = {
    "secret": "give secret_file or secret_env",
    "password": "give password_file or password_env",
}


def read_line(path: Path) -> LineRecord:
    """Read the file of a line's server.

    Raises:
        UsageError: The file cannot be read or understood.
    """
    raw = read_toml(path, "the server's TOML")
    try:
        # As JSON: strict records take a list for a tuple only from there.
        line = LineRecord.model_validate_json(json.dumps(raw, default=str))
    except ValidationError as error:
        raise UsageError(f"{path}: {_first_mistake(error, raw)}") from error
    _check_names(path, line)
    return line


def _first_mistake(error: ValidationError, raw: Mapping[str, Any]) -> str:
    first = error.errors(include_url=False)[0]
    loc = _written(first["loc"], raw)
    place, key = _place(loc), str(loc[-1]) if loc else ""
    if first["type"] == "extra_forbidden":
        if key in _SECRETS:
            return f"{place}: no secret stands in this file; {_SECRETS[key]}"
        return f"{place}: no such setting; there are {', '.join(_known(loc[:-1]))}"
    if first["type"] == "missing":
        return f"{place}: is missing; add a line `{key} = ...`"
    if first["type"] == "value_error":
        return f"{place}: {first['ctx']['error']}"
    if len(loc) == 1 and key in PEERS:
        return f"{place}: expected sections that begin with [[{key}]]"
    return f"{place}: {first['msg']}, got {first['input']!r}"


def _written(loc: Sequence[int | str], raw: Mapping[str, Any]) -> list[int | str]:
    """Leave out what only names a branch of a type (`int`, `constrained-str`) and stands in no file."""
    kept: list[int | str] = []
    here: Any = raw
    for part in loc:
        if isinstance(here, dict):
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int):
            here = here[part]
        else:
            break
        kept.append(part)
    return kept


def _place(loc: Sequence[int | str]) -> str:
    """Write a key's place as a person counts: `folder[2].path` is in the second [[folder]]."""
    text = ""
    for part in loc:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"


def _known(loc: Sequence[int | str]) -> list[str]:
    model: type[BaseModel] = LineRecord
    for part in loc:
        if isinstance(part, str):
            kind = model.model_fields[part].annotation
            model = next((one for one in get_args(kind) if isinstance(one, type)), kind)  # type: ignore[assignment]
    return sorted(model.model_fields)


def _check_names(path: Path, line: LineRecord) -> None:
    """Names are keys of the outbox, of addresses and of metrics: each is given once."""
    seen: dict[str, str] = {}
    for section in PEERS:
        for number, peer in enumerate(getattr(line, section), start=1):
            place = f"{section}[{number}]"
            if peer.name in seen:
                raise UsageError(
                    f"{path}: {place}.name: {peer.name!r} is the name of {seen[peer.name]} too; "
                    "give each a name of its own"
                )
            seen[peer.name] = place
