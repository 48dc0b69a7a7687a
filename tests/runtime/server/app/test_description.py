"""The OpenAPI description is true: no request that follows from it, or nearly, is answered otherwise."""

import os
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.runtime.server.app.fakes import FakePool, served
from vipx.runtime.server.app.describing.openapi import description
from vipx.runtime.server.app.describing.schemas import SCHEMAS

schemathesis = pytest.importorskip("schemathesis")
OURS = dict(description())


def operations(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    methods = ("get", "post", "delete")
    return [(path, m) for path, item in record["paths"].items() for m in methods if m in item]


def open_inference_protocol() -> dict[str, Any]:
    """The protocol's own nine operations, as its description has them, with its three errors repaired.

    It names paths with a literal `$`, asks for `data` even in binary tensors, and lets health answer with JSON.
    """
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "datatype": {"type": "string"},
            "parameters": {"type": "object", "additionalProperties": True},
            "data": {"type": "array", "items": {}},
        },
    }
    error = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    metadata = {
        "type": "object",
        "required": ["name", "platform", "inputs", "outputs"],
        "properties": {"name": {"type": "string"}, "versions": {"type": "array"}},
    }
    server = {"type": "object", "required": ["name", "version", "extensions"]}
    request = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": {"type": "object", "additionalProperties": True},
            "inputs": {"type": "array", "items": tensor},
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"type": "string"}, "parameters": {"type": "object"}},
                },
            },
        },
    }
    response = {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "outputs": {"type": "array", "items": tensor},
        },
    }
    codes = ("400", "401", "403", "404", "413", "415", "503")
    errors = {code: {"description": "x", **_content(error)} for code in codes}

    def get(schema: dict[str, Any] | None) -> dict[str, Any]:
        answer = {"description": "x", **({} if schema is None else _content(schema))}
        return {"get": {"responses": {"200": answer, **errors}}}

    paths: dict[str, Any] = {"/v2/health/live": get(None), "/v2/health/ready": get(None)}
    paths["/v2"] = get(server)
    for version in ("", "/versions/{version}"):
        at = f"/v2/models/{{model}}{version}"
        paths[at], paths[f"{at}/ready"] = get(metadata), get(None)
        answer = {"200": {"description": "x", **_content(response)}, **errors}
        paths[f"{at}/infer"] = {
            "post": {"requestBody": {"required": True, **_content(request)}, "responses": answer}
        }
    for path, item in paths.items():
        item["parameters"] = [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "string", "enum": choices},
            }
            for name, choices in (("model", ["part", "part_encoded", "x"]), ("version", ["1", "2"]))
            if f"{{{name}}}" in path
        ]
    return {"openapi": "3.0.3", "info": {"title": "OIP", "version": "2"}, "paths": paths}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def try_everything(record: dict[str, Any], cases: int) -> int:
    """Send so many generated requests for each operation; every answer must be as described."""
    server = served(FakePool())
    schema = schemathesis.openapi.from_dict(record)
    checks = schemathesis.checks
    left_out = [  # what a schema allows is more than what a model takes
        getattr(checks, name) for name in ("positive_data_acceptance",) if hasattr(checks, name)
    ]
    sent = 0
    options = settings(
        max_examples=cases,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for path, method in operations(record):
        operation = schema[path][method.upper()]

        def send(case: Any) -> None:
            nonlocal sent
            sent += 1
            answer = case.call(app=server.app, base_url="http://127.0.0.1:8000")
            assert answer.status_code < 500 or answer.status_code in (501, 503), answer.text
            case.validate_response(answer, excluded_checks=left_out)

        strategy = operation.as_strategy()
        from hypothesis import given

        options(given(case=strategy)(send))()
    print("cases sent:", sent)
    return sent


def test_every_schema_is_used() -> None:
    text = str(OURS)
    assert [name for name in SCHEMAS if f"schemas/{name}'" not in text] == []


def test_the_page_shows_every_operation_and_loads_nothing() -> None:
    page = served().ask("GET", "/docs").text
    for path, method in operations(OURS):
        assert f"{method.upper()} {path}" in page
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page


def test_the_description_is_served() -> None:
    assert served().ask("GET", "/openapi.json").json() == OURS


CASES = 180 if os.environ.get("VIPX_FULL") == "1" else 4


@pytest.mark.slow
def test_answers_are_as_our_description_says() -> None:
    assert try_everything(OURS, CASES) >= len(operations(OURS))


@pytest.mark.slow
def test_answers_are_as_the_protocol_says() -> None:
    record = open_inference_protocol()
    assert len(operations(record)) == 9
    assert try_everything(record, CASES) >= 9
