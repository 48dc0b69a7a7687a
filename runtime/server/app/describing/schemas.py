"""The JSON that the server takes and gives, as OpenAPI schemas."""

from collections.abc import Mapping
from typing import Any, Final

from vipx.verdict import Verdict

Json = dict[str, Any]


def reference(name: str) -> Json:
    """Refer to one of the schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Json, required: tuple[str, ...] | None = None) -> Json:
    """An object that must hold all of its properties, or those that are named."""
    names = tuple(properties) if required is None else required
    return {"type": "object", "properties": properties} | ({"required": [*names]} if names else {})


def _list(items: Json, **bounds: int) -> Json:
    return {"type": "array", "items": items, **bounds}


def _maybe(schema: Json) -> Json:
    return schema | {"nullable": True}


_TEXT: Final[Json] = {"type": "string"}
_COUNT: Final[Json] = {"type": "integer", "minimum": 0}
_NUMBER: Final[Json] = {"type": "number"}
_UNIT: Final[Json] = {"type": "number", "minimum": 0, "maximum": 1}
_FLAG: Final[Json] = {"type": "boolean"}
_SHAPE: Final[Json] = _list({"type": "integer", "minimum": -1})
_PARAMETERS: Final[Json] = {
    "type": "object",
    "additionalProperties": {"anyOf": [_TEXT, _NUMBER, _FLAG]},
}
_TENSOR: Final[Json] = {"name": _TEXT, "datatype": reference("Datatype"), "shape": _SHAPE}
_DURATION: Final[Json] = _object({"count": _COUNT, "ns": _COUNT})
_REGION: Final[Json] = _object(
    {"x": _COUNT, "y": _COUNT, "width": _COUNT, "height": _COUNT, "area": _COUNT, "peak": _NUMBER}
)
_INSPECTION: Final[Json] = {
    "verdict": {"type": "string", "enum": [one.value for one in Verdict]},
    "verdict_code": {"type": "integer", "enum": [0, 1, 2, 3]},
    "is_anomalous": _FLAG,
    "anomaly_score": _maybe(_UNIT),
    "anomaly_threshold": _maybe(_NUMBER),
    "review_threshold": _maybe(_NUMBER),
    "reason": _TEXT,
    "seq": _COUNT,
    "part_id": _TEXT,
    "recipe": _TEXT,
    "result_id": _TEXT,
    "stored": _FLAG,
    "regions": _list(_REGION),
    "region_count": _COUNT,
    "image_size": _list(_COUNT, minItems=2, maxItems=2),
    "timing_ms": {"type": "object", "additionalProperties": _NUMBER},
    "engine": _TEXT,
    "model_sha256": _TEXT,
}
_STEPS: Final = (
    "success",
    "fail",
    "queue",
    "compute_input",
    "compute_infer",
    "compute_output",
    "cache_hit",
    "cache_miss",
)
_MODEL_STATISTICS: Final[Json] = _object(
    {
        "name": _TEXT,
        "version": _TEXT,
        "last_inference": _COUNT,
        "inference_count": _COUNT,
        "execution_count": _COUNT,
        "inference_stats": _object(dict.fromkeys(_STEPS, _DURATION)),
        "batch_stats": _list({"type": "object"}),
    }
)
_CONFIGURED: Final[Json] = _object({"name": _TEXT, "data_type": _TEXT, "dims": _SHAPE})
_DATA: Final[Json] = {"description": "Numbers, flat or nested.", "type": "array", "items": {}}

SCHEMAS: Final[Mapping[str, Json]] = {
    "Any": {"type": "object"},
    "Error": _object({"error": _TEXT}),
    "Failure": _object({"error": _TEXT} | _INSPECTION, ("error",)),
    "Inspection": _object(_INSPECTION),
    "InspectForm": _object(
        {
            "image": {"type": "string", "format": "binary"},
            "recipe": _TEXT,
            "part_id": _TEXT | {"maxLength": 128},
            "map": {"type": "string", "enum": ["none", "png", "float32"]},
        },
        ("image",),
    ),
    "Server": _object({"name": _TEXT, "version": _TEXT, "extensions": _list(_TEXT)}),
    "Metadata": _object(
        {
            "name": _TEXT,
            "versions": _list(_TEXT),
            "platform": _TEXT,
            "inputs": _list(_object(_TENSOR)),
            "outputs": _list(_object(_TENSOR)),
        }
    ),
    "Config": _object(
        {
            "name": _TEXT,
            "platform": _TEXT,
            "backend": _TEXT,
            "max_batch_size": _COUNT,
            "input": _list(_CONFIGURED),
            "output": _list(_CONFIGURED),
        }
    ),
    "Statistics": _object({"model_stats": _list(_MODEL_STATISTICS)}),
    "IndexRequest": _object({"ready": _FLAG}, ()),
    "Index": _list(
        _object(
            {"name": _TEXT, "version": _TEXT, "state": _TEXT, "reason": _TEXT},
            ("name", "version", "state"),
        )
    ),
    "InferRequest": _object(
        {
            "id": _TEXT,
            "parameters": _PARAMETERS,
            "inputs": _list(
                _object(_TENSOR | {"parameters": _PARAMETERS, "data": _DATA}, tuple(_TENSOR)),
                minItems=1,
            ),
            "outputs": _list(_object({"name": _TEXT, "parameters": _PARAMETERS}, ("name",))),
        },
        ("inputs",),
    ),
    "InferResponse": _object(
        {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "id": _TEXT,
            "parameters": _PARAMETERS,
            "outputs": _list(
                _object(_TENSOR | {"parameters": _PARAMETERS, "data": _DATA}, tuple(_TENSOR))
            ),
        },
        ("model_name", "model_version", "outputs"),
    ),
    "Secret": _object({"secret": _TEXT | {"minLength": 1}}),
    "Role": _object({"role": _maybe({"type": "string", "enum": ["operator", "engineer"]})}),
}
