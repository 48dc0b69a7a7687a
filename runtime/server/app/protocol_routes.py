"""Open Inference Protocol v2: `/v2`."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vipx import __version__
from vipx.runtime.server.app.answers import error_answer, json_answer, unavailable
from vipx.runtime.server.app.counters import STEPS, statistics
from vipx.runtime.server.app.inspection import Inspecting, Recorded, inspect_batch
from vipx.runtime.server.app.safety.bodies import Bodies, check_content_type
from vipx.runtime.server.protocol.compression import compress, wanted_coding
from vipx.runtime.server.protocol.faults import RequestError, shown
from vipx.runtime.server.protocol.json_text import read_json_object
from vipx.runtime.server.protocol.models import (
    INPUT,
    OUTPUTS,
    VERSION,
    ServedModel,
    find_model,
    models_of,
    repository_index,
)
from vipx.runtime.server.protocol.pictures import read_deadline, read_part_id, read_pictures
from vipx.runtime.server.protocol.requests import (
    InferRequest,
    WantedOutput,
    read_header_length,
    read_infer_request,
    read_raw_request,
)
from vipx.runtime.server.protocol.responses import (
    EncodedResponse,
    InferResponse,
    Parameter,
    encode_response,
    wanted_outputs,
)
from vipx.runtime.server.protocol.tensors import OutputTensor
from vipx.runtime.server.protocol.verdicts import output_tensors
from vipx.runtime.server.settings import KeepMaps, ServerSettings
from vipx.runtime.server.work.task import Priority, Task
from vipx.verdict import Verdict

EXTENSIONS: Final = ("binary_tensor_data", "statistics", "model_configuration", "model_repository")
HEADER: Final = "Inference-Header-Content-Length"
_TYPES: Final = ("application/json", "application/octet-stream")
_IN_PLACE: Final = 64 * 1024  # bytes of JSON that are read or written without waking a thread


class ProtocolRoutes:
    """Answers the protocol's requests."""

    def __init__(self, settings: ServerSettings, inspecting: Inspecting, bodies: Bodies) -> None:
        self._settings = settings
        self._inspecting = inspecting
        self._bodies = bodies

    def routes(self) -> list[Route]:
        """List every path, those of a model also with its version; what a line asks for comes first."""
        get, post = ["GET"], ["POST"]
        infer, *model = [
            Route(f"/v2/models/{{model}}{version}{path}", answer, methods=methods)
            for version in ("", "/versions/{version}")
            for path, answer, methods in (
                ("/infer", self._infer, post),
                ("", self._metadata, get),
                ("/ready", self._model_ready, get),
                ("/config", self._config, get),
                ("/stats", self._model_statistics, get),
            )
        ]
        return [
            infer,
            Route("/v2", self._server, methods=get),
            Route("/v2/", self._server, methods=get),
            Route("/v2/health/live", self._live, methods=get),
            Route("/v2/health/ready", self._ready, methods=get),
            Route("/v2/models/stats", self._statistics, methods=get),
            Route("/v2/repository/index", self._index, methods=post),
            *model,
            *_unsupported_routes(),
        ]

    def _models(self) -> dict[str, ServedModel]:
        recipes = ((recipe.name, recipe.size) for recipe in self._inspecting.work.recipes)
        return models_of(recipes, self._settings.limits.images)

    def _model(self, request: Request) -> ServedModel:
        parameters = request.path_params
        return find_model(self._models(), parameters["model"], parameters.get("version"))

    async def _server(self, _: Request) -> Response:
        return json_answer(
            {"name": self._settings.name, "version": __version__, "extensions": list(EXTENSIONS)}
        )

    async def _live(self, _: Request) -> Response:
        return Response()

    async def _ready(self, _: Request) -> Response:
        return self._readiness()

    async def _model_ready(self, request: Request) -> Response:
        self._model(request)
        return self._readiness()

    def _readiness(self) -> Response:
        if self._inspecting.ready:
            return Response()
        return unavailable("the engine is not ready", 1.0)

    async def _metadata(self, request: Request) -> Response:
        return json_answer(self._model(request).metadata())

    async def _config(self, request: Request) -> Response:
        return json_answer(self._model(request).config())

    async def _model_statistics(self, request: Request) -> Response:
        return self._statistics_of([self._model(request).name])

    async def _statistics(self, _: Request) -> Response:
        return self._statistics_of(list(self._models()))

    def _statistics_of(self, names: list[str]) -> Response:
        counters = self._inspecting.counters
        return json_answer(
            {"model_stats": [statistics(name, VERSION, counters.of(name)) for name in names]}
        )

    async def _index(self, request: Request) -> Response:
        check_content_type(request, _TYPES)
        async with self._bodies.read(request) as body:
            record = read_json_object(body) if body else {}
        only_ready = record.get("ready", False)
        if not isinstance(only_ready, bool):
            raise RequestError(f"ready: expected true or false, got {shown(only_ready)}")
        ready = self._inspecting.ready
        models = self._models().values()
        return json_answer(repository_index(models, ready=ready, only_ready=only_ready))

    async def _infer(self, request: Request) -> Response:
        model = self._model(request)
        check_content_type(request, _TYPES)
        length = read_header_length(request.headers.get(HEADER))
        async with self._bodies.read(request) as body:
            asked = await _off_loop(
                len(body) if length is None else length, _read, body, length, model
            )
            wanted = wanted_outputs(asked, OUTPUTS)
            tasks = self._tasks(asked, model, wanted)
            recorded = await inspect_batch(self._inspecting, tasks, source="http")
        failed = next((one for one in recorded if one.outcome.verdict is Verdict.ERROR), None)
        if failed is not None:
            return unavailable(failed.outcome.reason, None)
        answer = await self._encode(asked, model, recorded, wanted)
        return await _sent(answer, request)

    def _tasks(
        self, asked: InferRequest, model: ServedModel, wanted: tuple[WantedOutput, ...]
    ) -> list[Task]:
        maps: KeepMaps = "all" if _with_map(wanted) else "none"
        deadline = read_deadline(asked.parameters, self._settings.deadline_s)
        part_id = read_part_id(asked.parameters.get("part_id", ""))
        priority = _priority(asked.parameters)
        return [
            Task(model.recipe, picture, priority, deadline, maps, part_id)
            for picture in read_pictures(asked, model)
        ]

    async def _encode(
        self,
        asked: InferRequest,
        model: ServedModel,
        recorded: tuple[Recorded, ...],
        wanted: tuple[WantedOutput, ...],
    ) -> EncodedResponse:
        outcomes = [one.outcome for one in recorded]
        outputs = output_tensors(outcomes, with_map=_with_map(wanted))
        response = InferResponse(model.name, VERSION, asked.id, outputs, _parameters(recorded))
        return await _off_loop(_json_bytes(outputs, wanted), encode_response, response, wanted)


def _read(body: bytes, length: int | None, model: ServedModel) -> InferRequest:
    if length != 0:
        return read_infer_request(body, length)
    if model.takes == "files":
        return read_raw_request(body, INPUT)
    raise RequestError(
        f"{model.name}: a raw request cannot say the size of {INPUT}; send the JSON before it"
    )


async def _off_loop(size: int, call: Any, *arguments: Any) -> Any:  # noqa: ANN401 - what it calls
    """Read or write much JSON in a thread, so that others are answered meanwhile."""
    if size <= _IN_PLACE:
        return call(*arguments)
    return await asyncio.to_thread(call, *arguments)


def _json_bytes(outputs: tuple[OutputTensor, ...], wanted: tuple[WantedOutput, ...]) -> int:
    as_json = {output.name for output in wanted if not output.binary}
    return sum(10 * tensor.array.size for tensor in outputs if tensor.name in as_json)


def _with_map(wanted: tuple[WantedOutput, ...]) -> bool:
    return any(output.name == "anomaly_map" for output in wanted)


def _priority(parameters: Mapping[str, Any]) -> Priority:
    """Triton's numbers: 0 is the default and 1 the highest; whatever comes after it waits like the page."""
    value = parameters.get("priority", 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RequestError(f"priority: expected a whole number from 0, got {shown(value)}")
    return "line" if value <= 1 else "page"


def _parameters(recorded: tuple[Recorded, ...]) -> dict[str, Parameter]:
    first = recorded[0].outcome
    times = {
        f"{step}_us": sum(one.outcome.microseconds.get(step, 0) for one in recorded)
        for step in STEPS
    }
    return {
        "engine": first.engine,
        "model_sha256": first.identity,
        **times,
        "result_id": ",".join(one.result_id for one in recorded),
        "seq": recorded[-1].seq,
        "stored": all(one.stored for one in recorded),
        "part_id": recorded[0].task.part_id,
    }


async def _sent(answer: EncodedResponse, request: Request) -> Response:
    headers: dict[str, str] = {"Vary": "Accept-Encoding"}
    if answer.header_length is not None:
        headers[HEADER] = str(answer.header_length)
    body, coding = answer.body, wanted_coding(request.headers.get("accept-encoding"))
    if coding is not None:
        headers["Content-Encoding"] = coding
        body = await asyncio.to_thread(compress, body, coding)
    return Response(body, 200, headers, answer.content_type)


async def _unsupported(_: Request) -> Response:
    return error_answer("this server does not offer that part of the protocol", 501)


def _unsupported_routes() -> list[Route]:
    """Triton's extensions that are left out; loading a model over the network would run what it holds."""
    post, both = ["POST"], ["GET", "POST"]
    shared = "/v2/{kind:str}sharedmemory"
    return [
        Route("/v2/repository/models/{model}/load", _unsupported, methods=post),
        Route("/v2/repository/models/{model}/unload", _unsupported, methods=post),
        Route("/v2/logging", _unsupported, methods=both),
        Route("/v2/trace/setting", _unsupported, methods=both),
        Route("/v2/models/{model}/trace/setting", _unsupported, methods=both),
        Route(f"{shared}/status", _unsupported, methods=["GET"]),
        Route(f"{shared}/region/{{region}}/status", _unsupported, methods=["GET"]),
        Route(f"{shared}/region/{{region}}/register", _unsupported, methods=post),
        Route(f"{shared}/region/{{region}}/unregister", _unsupported, methods=post),
        Route(f"{shared}/unregister", _unsupported, methods=post),
    ]
