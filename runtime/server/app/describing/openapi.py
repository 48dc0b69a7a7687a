"""The server's OpenAPI description, written by hand so that it says what is promised and no more."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from vipx import __version__
from vipx.runtime.server.app.describing.schemas import SCHEMAS, reference
from vipx.runtime.server.protocol.tensors import DATATYPES

Json = dict[str, Any]
_BOTH: Final = ("", "/versions/{version}")
_HEADER: Final = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "description": "Bytes of JSON before the binary tensors; 0 for one picture file and nothing else.",
    "schema": {"type": "integer", "minimum": 0},
}
_REASONS: Final[Mapping[str, str]] = {
    "400": "The request is not as described.",
    "401": "The server's token is missing.",
    "403": "Another site sent it.",
    "404": "There is no such model, version or recipe.",
    "408": "The body did not come in time.",
    "413": "The body is too long.",
    "415": "The content type or coding is not taken.",
    "429": "Too many wrong passwords.",
    "501": "Left out of the protocol on purpose.",
    "503": "Not now; `Retry-After` says when. With `verdict: ERROR`, the engine failed on this picture.",
}
_ALWAYS: Final = ("400", "401")
_POSTED: Final = (*_ALWAYS, "403", "404", "408", "413", "415", "503")


@cache
def description() -> Json:
    """Give the whole description; the same object each time, not to be changed."""
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "vipx serve-local",
            "version": __version__,
            "description": "Visual inspection over HTTP: Open Inference Protocol v2, and one short call.",
        },
        "security": [{}, {"token": []}],
        "paths": _inspect() | _trigger() | _protocol() | _plain(),
        "components": {
            "schemas": dict(SCHEMAS) | {"Datatype": {"type": "string", "enum": sorted(DATATYPES)}},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _inspect() -> Json:
    binary = {"schema": {"type": "string", "format": "binary"}}
    parameters = [
        _query(
            "recipe", "Whose thresholds judge; needed where there are several.", {"type": "string"}
        ),
        _query("part_id", "Comes back in the answer.", {"type": "string", "maxLength": 128}),
        _query(
            "map",
            "With `png` or `float32` the body is the heat map, and the JSON stands in `Vipx-Result`.",
            {"type": "string", "enum": ["none", "png", "float32"], "default": "none"},
        ),
        _query(
            "timeout_ms",
            "Longest wait for its turn; 0 is the server's default.",
            {"type": "integer", "minimum": 0, "maximum": 999_999_999},
        ),
    ]
    form = {"schema": reference("InspectForm"), "encoding": {"image": {"contentType": "image/*"}}}
    pictures = dict.fromkeys(
        ("image/jpeg", "image/png", "image/bmp", "image/tiff", "application/octet-stream"), binary
    )
    return {
        "/v1/inspect": {
            "post": {
                "summary": "Inspect one picture",
                "operationId": "inspect",
                "parameters": parameters,
                "requestBody": {
                    "required": True,
                    "content": pictures | {"multipart/form-data": form},
                },
                "responses": _responses(
                    _POSTED,
                    {
                        "application/json": {"schema": reference("Inspection")},
                        "image/png": binary,
                        "application/octet-stream": binary,
                    },
                    {"503": {"schema": reference("Failure")}},
                ),
            }
        }
    }


def _trigger() -> Json:
    part_id = _query("part_id", "Comes back in the answer.", {"type": "string", "maxLength": 128})
    return {
        "/v1/trigger/{camera}": {
            "parameters": _path_parameters("{camera}"),
            "post": {
                "summary": "Inspect the next frame of a camera",
                "operationId": "trigger",
                "parameters": [part_id],
                "responses": _responses(
                    (*_ALWAYS, "403", "404", "503"),
                    _json("Inspection"),
                    {"503": {"schema": reference("Failure")}},
                ),
            },
        }
    }


def _protocol() -> Json:
    paths: Json = {
        "/v2": _get("Name, version and extensions", "Server"),
        "/v2/health/live": _get("Whether the server lives", None, ()),
        "/v2/health/ready": _get("Whether the engine answers", None, ("503",)),
        "/v2/models/stats": _get("Counts of all models", "Statistics"),
        "/v2/repository/index": _index(),
    }
    for version in _BOTH:
        at = f"/v2/models/{{model}}{version}"
        paths |= {
            at: _get("Inputs and outputs", "Metadata", ("404",), at),
            f"{at}/ready": _get("Whether it answers", None, ("404", "503"), at),
            f"{at}/config": _get("Configuration", "Config", ("404",), at),
            f"{at}/stats": _get("Counts", "Statistics", ("404",), at),
            f"{at}/infer": _infer(at),
        }
    return paths


def _index() -> Json:
    return {
        "post": {
            "summary": "The models there are",
            "requestBody": {"content": _json("IndexRequest")},
            "responses": _responses(_POSTED, _json("Index")),
        }
    }


def _infer(path: str) -> Json:
    binary = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return {
        "parameters": _path_parameters(path),
        "post": {
            "summary": "Inspect pictures",
            "parameters": [_HEADER],
            "requestBody": {"required": True, "content": _json("InferRequest") | binary},
            "responses": _responses(_POSTED, _json("InferResponse") | binary),
        },
    }


def _plain() -> Json:
    text = {"text/plain": {"schema": {"type": "string"}}}
    page = {"text/html": {"schema": {"type": "string"}}}
    return {
        "/metrics": {
            "get": {"summary": "Counts for Prometheus", "responses": _responses(_ALWAYS, text)}
        },
        "/docs": {"get": {"summary": "This description", "responses": _responses(_ALWAYS, page)}},
        "/openapi.json": _get("This description as JSON", "Any"),
        "/session": _session(),
    }


def _session() -> Json:
    done = {"204": {"description": "Done."}}
    body = {"required": True, "content": _json("Secret")}
    codes = (*_ALWAYS, "403")
    return {
        "get": {"summary": "The role", "responses": _responses(_ALWAYS, _json("Role"))},
        "post": {
            "summary": "Log in with the token or the engineer's password",
            "requestBody": body,
            "responses": done | _errors((*codes, "408", "413", "415", "429", "503")),
        },
        "delete": {"summary": "Log out", "responses": done | _errors(codes)},
    }


def _get(summary: str, schema: str | None, errors: tuple[str, ...] = (), path: str = "") -> Json:
    content = {} if schema is None else _json(schema)
    operation = {"summary": summary, "responses": _responses((*_ALWAYS, *errors), content)}
    return {"parameters": _path_parameters(path), "get": operation}


def _responses(
    errors: tuple[str, ...], content: Json, special: Mapping[str, Json] | None = None
) -> Json:
    answer: Json = {"description": "Done."} | ({"content": content} if content else {})
    return {"200": answer} | _errors(errors, special)


def _errors(codes: tuple[str, ...], special: Mapping[str, Json] | None = None) -> Json:
    usual = {"schema": reference("Error")}
    return {
        code: {
            "description": _REASONS[code],
            "content": {"application/json": (special or {}).get(code, usual)},
        }
        for code in codes
    }


def _json(schema: str) -> Json:
    return {"application/json": {"schema": reference(schema)}}


def _path_parameters(path: str) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in ("model", "version", "camera")
        if f"{{{name}}}" in path
    ]


def _query(name: str, text: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": text, "schema": schema}
