"""`POST /v1/inspect`: a picture in, one short JSON of fixed shape out."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vipx.runtime.server.app.inspection import Inspecting, Recorded, inspect_and_record
from vipx.runtime.server.app.multipart import read_form
from vipx.runtime.server.app.safety.bodies import Bodies, check_content_type
from vipx.runtime.server.protocol.compression import compress, wanted_coding
from vipx.runtime.server.protocol.faults import RequestError, shown
from vipx.runtime.server.protocol.json_text import write_json
from vipx.runtime.server.protocol.pictures import read_deadline, read_part_id
from vipx.runtime.server.protocol.verdicts import CODES
from vipx.runtime.server.settings import ServerSettings
from vipx.runtime.server.storage.pictures import heat_map_png
from vipx.runtime.server.work.task import Outcome, Task
from vipx.verdict import Verdict

MapKind = Literal["none", "png", "float32"]
RESULT_HEADER: Final = "Vipx-Result"
SHAPE_HEADER: Final = "Vipx-Map-Shape"
MOST_JSON: Final = 2048  # what a small PLC gateway reads into a fixed buffer
_MOST_REGIONS: Final = 6
_MOST_TEXT: Final = 120
_FORM: Final = "multipart/form-data"
_TYPES: Final = (
    "image/jpeg",
    "image/png",
    "image/bmp",
    "image/tiff",
    _FORM,
    "application/octet-stream",
)
_FIELDS: Final = frozenset({"recipe", "part_id", "map", "timeout_ms"})


@dataclass(frozen=True, slots=True)
class _Asked:
    image: bytes
    recipe: str
    part_id: str
    map: MapKind
    deadline_s: float


class InspectRoutes:
    """Answers `/v1/inspect`."""

    def __init__(self, settings: ServerSettings, inspecting: Inspecting, bodies: Bodies) -> None:
        self._settings = settings
        self._inspecting = inspecting
        self._bodies = bodies

    def routes(self) -> list[Route]:
        """List the paths."""
        return [Route("/v1/inspect", self._inspect, methods=["POST"])]

    async def _inspect(self, request: Request) -> Response:
        kind = check_content_type(request, _TYPES)
        async with self._bodies.read(request) as body:
            asked = self._asked(request, body, kind)
            task = Task(
                asked.recipe,
                asked.image,
                "line",
                asked.deadline_s,
                "none" if asked.map == "none" else "all",
                asked.part_id,
            )
            recorded = await inspect_and_record(self._inspecting, task, source="http")
        anomaly_map = recorded.outcome.anomaly_map
        if asked.map == "none" or anomaly_map is None or _failed(recorded):
            return inspection_answer(recorded)
        return await _with_map(result_record(recorded), recorded.outcome, asked.map, request)

    def _asked(self, request: Request, body: bytes, kind: str) -> _Asked:
        fields = dict(request.query_params)
        image = body
        if kind == _FORM:
            form, image = _split_form(body, request.headers["content-type"])
            fields |= form
        if unknown := sorted(set(fields) - _FIELDS):
            raise RequestError(f"{shown(unknown[0])} is no field of an inspection")
        if not image:
            raise RequestError("the picture is empty")
        return _Asked(
            image=image,
            recipe=self._recipe(fields.get("recipe")),
            part_id=read_part_id(fields.get("part_id", "")),
            map=_map_kind(fields.get("map", "none")),
            deadline_s=self._deadline(fields.get("timeout_ms", "0")),
        )

    def _recipe(self, name: str | None) -> str:
        names = [recipe.name for recipe in self._inspecting.work.recipes]
        if name is None:
            if len(names) > 1:
                raise RequestError(f"recipe: say which one; there are: {', '.join(names)}")
            return names[0]
        if name not in names:
            raise RequestError(f"no recipe is called {shown(name)}", status=404)
        return name

    def _deadline(self, text: str) -> float:
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise RequestError(f"timeout_ms: expected milliseconds, got {shown(text)}")
        return read_deadline({"timeout": 1000 * int(text)}, self._settings.deadline_s)


def inspection_answer(recorded: Recorded) -> Response:
    """Answer with the JSON of an inspection; 503 where the engine failed on the picture."""
    result = result_record(recorded)
    if _failed(recorded):
        return _as_json({"error": result["reason"]} | result, 503)
    return _as_json(result, 200)


def _failed(recorded: Recorded) -> bool:
    return recorded.outcome.verdict is Verdict.ERROR


def _as_json(result: Mapping[str, object], status: int) -> Response:
    """Answer in UTF-8: escaped, a part's name could take three times as many bytes."""
    headers = {"Retry-After": "1"} if status == 503 else {}
    body = write_json(result, ascii_only=False)
    return Response(body, status, headers, "application/json")


def result_record(recorded: Recorded) -> dict[str, object]:
    """Give the JSON of an inspection; its keys are always the same, and it stays below 2 KB.

    `anomaly_score`, `anomaly_threshold` and `is_anomalous` are the names that other inspection servers use;
    `is_anomalous` is false for OK alone.
    """
    outcome, verdict = recorded.outcome, recorded.outcome.verdict
    return {
        "verdict": verdict.value,
        "verdict_code": CODES[verdict],
        "is_anomalous": verdict is not Verdict.OK,
        "anomaly_score": _number(outcome.score),
        "anomaly_threshold": _number(outcome.threshold),
        "review_threshold": _number(outcome.review),
        "reason": _short(outcome.reason),
        "seq": recorded.seq,
        "part_id": recorded.task.part_id,
        "recipe": _short(recorded.task.recipe),
        "result_id": recorded.result_id,
        "stored": recorded.stored,
        "regions": _regions(outcome),
        "region_count": len(outcome.regions),
        "image_size": list(outcome.size),
        "timing_ms": {name: us / 1000 for name, us in outcome.microseconds.items()},
        "engine": _short(outcome.engine),
        "model_sha256": outcome.identity,
    }


def _regions(outcome: Outcome) -> list[dict[str, int | float]]:
    return [
        {
            "x": one.x,
            "y": one.y,
            "width": one.width,
            "height": one.height,
            "area": one.area,
            "peak": round(one.peak, 4),
        }
        for one in outcome.regions[:_MOST_REGIONS]
    ]


def _number(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _short(text: str) -> str:
    """Keep the JSON below its bound: what is not ASCII takes six bytes a letter."""
    return text if len(text) <= _MOST_TEXT and text.isascii() else ascii(text)[1:-1][:_MOST_TEXT]


def _split_form(body: bytes, content_type: str) -> tuple[dict[str, str], bytes]:
    fields: dict[str, str] = {}
    images: list[bytes] = []
    for part in read_form(body, content_type):
        if part.file or part.name == "image":
            images.append(part.data)
        elif len(part.data) > 1024:
            raise RequestError(f"{shown(part.name)}: the field is too long")
        else:
            fields[part.name] = part.data.decode("utf-8", "replace")
    if len(images) != 1:
        raise RequestError(f"expected one picture in the form, got {len(images)}")
    return fields, images[0]


def _map_kind(text: str) -> MapKind:
    for kind in get_args(MapKind):
        if text == kind:
            return kind
    raise RequestError(f"map: expected {', '.join(get_args(MapKind))}, got {shown(text)}")


async def _with_map(
    result: Mapping[str, object], outcome: Outcome, kind: MapKind, request: Request
) -> Response:
    """The map is the body, the JSON a header: one request, and neither has to be unpacked."""
    anomaly_map = outcome.anomaly_map
    assert anomaly_map is not None
    headers = {
        RESULT_HEADER: write_json(result).decode("ascii"),
        SHAPE_HEADER: ",".join(map(str, anomaly_map.shape)),
    }
    if kind == "png":
        body = await asyncio.to_thread(heat_map_png, anomaly_map)
        return Response(body, 200, headers, "image/png")
    body = anomaly_map.astype(np.dtype("<f4"), copy=False).tobytes()
    coding = wanted_coding(request.headers.get("accept-encoding"))
    if coding is not None:
        headers["Content-Encoding"] = coding
        body = await asyncio.to_thread(compress, body, coding)
    return Response(body, 200, headers, "application/octet-stream")
