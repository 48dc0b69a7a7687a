"""Reads a run's TOML file, completes it from the method's published choices, and writes it back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import JsonValue, TypeAdapter, ValidationError

from vipx.errors import UsageError
from vipx.toml_file import read_toml, tomllib
from vipx.training.loop.settings.configuration import (
    BackboneSettings,
    DataSettings,
    EvaluationSettings,
    MethodSettings,
    OptimiserSettings,
    RunSettings,
    Settings,
)
from vipx.training.methods.registry import METHODS
from vipx.training.model.vision import VisionOptions

Record = dict[str, Any]
T = TypeVar("T")

SECTIONS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "data": DataSettings,
        "method": MethodSettings,
        "vision": VisionOptions,
        "backbone": BackboneSettings,
        "optimiser": OptimiserSettings,
        "run": RunSettings,
        "evaluation": EvaluationSettings,
    }
)
# What the published scripts use (methods/vip2clip.md 1.1).
PUBLISHED_VISION: Mapping[str, JsonValue] = MappingProxyType(
    {"height": 518, "width": 518, "feature_layers": [6, 12, 18, 24]}
)


def settings_from_file(path: Path, overrides: Sequence[str] = ()) -> Settings:
    """Read a run's file.

    Args:
        path: TOML. Paths in it are relative to the working folder.
        overrides: `section.name=value`, each put over what the file says; the value is TOML, or a bare word.

    Raises:
        UsageError: The file or an override cannot be understood.
    """
    return settings_from_record(read_toml(path, "a run's TOML"), overrides, str(path))


def settings_from_record(
    record: Mapping[str, Any], overrides: Sequence[str] = (), where: str = "the run"
) -> Settings:
    """Complete and check plain data, as a TOML file or a checkpoint's record holds it."""
    raw = _overridden(record, overrides)
    _check_names(raw, tuple(SECTIONS), where)
    for section, values in raw.items():
        if not isinstance(values, dict):
            raise UsageError(f"{where}: expected [{section}] to be a section")
    method = _method(raw.get("method", {}), where)
    sections: Record = {"method": method}
    given: Record = {
        **raw,
        "vision": {**PUBLISHED_VISION, **raw.get("vision", {})},
        "optimiser": _optimiser(raw.get("optimiser", {}), method, where),
    }
    for name in ("data", "vision", "backbone", "optimiser", "run", "evaluation"):
        if name != "evaluation" or name in given:
            sections[name] = _section(SECTIONS[name], name, given.get(name, {}), where)
    return Settings(**sections)


def record_from_settings(settings: Settings) -> dict[str, dict[str, JsonValue]]:
    """Give the settings as plain data that `settings_from_record` reads back; what is None is left out."""
    record: Record = {
        name: asdict(part)
        for name in SECTIONS
        if name != "method" and (part := getattr(settings, name)) is not None
    }
    record["method"] = {"name": settings.method.name} | asdict(settings.method.config)
    plain: dict[str, dict[str, JsonValue]] = json.loads(json.dumps(record, default=str))
    return {
        section: {name: value for name, value in values.items() if value is not None}
        for section, values in plain.items()
    }


def text_from_settings(settings: Settings) -> str:
    """Give the settings as a TOML file with every choice spelled out."""
    record = record_from_settings(settings)
    blocks = [_block(name, record[name]) for name in SECTIONS if name in record]
    return "\n".join(blocks)


def _block(name: str, values: Mapping[str, JsonValue]) -> str:
    lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines]) + "\n"


def _toml(value: JsonValue) -> str:
    """Write a value; JSON's scalars and lists are TOML's but for this one control character."""
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items())
        return "{ " + inner + " }"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _overridden(record: Mapping[str, Any], overrides: Sequence[str]) -> Record:
    raw = dict(record)
    for one in overrides:
        path, equals, text = one.partition("=")
        parts = [part.strip() for part in path.split(".")]
        if not equals or not 2 <= len(parts) <= 3 or not all(parts):
            raise UsageError(f"--set {one}: expected section.name=value, as optimiser.epochs=3")
        target = raw
        for part in parts[:-1]:
            inner = target.get(part, {})
            if not isinstance(inner, dict):
                raise UsageError(f"--set {one}: {part} is not a section")
            target[part] = dict(inner)  # what was given stays as it is
            target = target[part]
        target[parts[-1]] = _value(text.strip())
    return raw


def _value(text: str) -> Any:  # noqa: ANN401 - whatever TOML can say
    """Read a TOML value; what is none is a bare word."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _method(given: Record, where: str) -> MethodSettings:
    changes = dict(given)
    name = changes.pop("name", "vip2clip")
    if name not in METHODS:
        raise UsageError(f"{where}: method.name: expected {' or '.join(METHODS)}, got {name!r}")
    presets = METHODS[name].presets
    preset = changes.pop("preset", next(iter(presets)))
    if preset not in presets:
        known = " or ".join(presets)
        raise UsageError(f"{where}: method.preset: {name} has {known}, got {preset!r}")
    base = asdict(presets[preset])
    _check_names(changes, tuple(base), where, "method.")
    return MethodSettings(name, _section(METHODS[name].config, "method", base | changes, where))


def _optimiser(given: Record, method: MethodSettings, where: str) -> Record:
    """Fill up from the method's schedule; a rate's group must be one of it."""
    schedule = METHODS[method.name].schedule
    rates = given.get("rates", {})
    if not isinstance(rates, dict):
        raise UsageError(f"{where}: optimiser.rates: expected a rate for each group of parameters")
    _check_names(rates, tuple(schedule.rates), where, "optimiser.rates.")
    # Not asdict: a schedule's rates may be a read-only mapping, which cannot be copied.
    base = {one.name: getattr(schedule, one.name) for one in fields(schedule)}
    return base | given | {"rates": dict(schedule.rates) | rates}


def _section(kind: type[T], name: str, values: Mapping[str, Any], where: str) -> T:
    _check_names(values, tuple(one.name for one in fields(kind)), where, f"{name}.")  # type: ignore[arg-type]
    try:
        return TypeAdapter(kind).validate_json(json.dumps(values, default=repr), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join([name, *(str(part) for part in first["loc"])])
        raise UsageError(f"{where}: {place}: {first['msg']}, got {first['input']!r}") from error


def _check_names(
    given: Mapping[str, Any], known: tuple[str, ...], where: str, prefix: str = ""
) -> None:
    for name in given:
        if name not in known:
            raise UsageError(
                f"{where}: no setting {prefix}{name}; there are {', '.join(sorted(known))}"
            )
