"""The Try screen: a picture from this computer, inspected as the line's are."""

import asyncio
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vipx.runtime.server.app.answers import json_answer
from vipx.runtime.server.app.inspect_routes import result_record
from vipx.runtime.server.app.inspection import inspect_and_record
from vipx.runtime.server.app.safety.bodies import check_content_type
from vipx.runtime.server.page.context import PageContext
from vipx.runtime.server.page.rendering import Templates
from vipx.runtime.server.protocol.faults import RequestError
from vipx.runtime.server.protocol.pictures import read_part_id
from vipx.runtime.server.storage.pictures import heat_map_png
from vipx.runtime.server.work.task import Task

_TYPES = (
    "image/png",
    "image/jpeg",
    "image/bmp",
    "image/tiff",
    "application/octet-stream",
)


class TryScreen:
    """Takes a picture and shows what the model sees in it."""

    def __init__(self, context: PageContext, templates: Templates) -> None:
        self._context, self._templates = context, templates

    def routes(self) -> list[BaseRoute]:
        """List the paths."""
        return [
            Route("/try", self._page, methods=["GET"]),
            Route("/try", self._inspect, methods=["POST"]),
        ]

    async def _page(self, request: Request) -> Response:
        return self._templates.page(request, "try.html", recipes=self._context.recipes)

    async def _inspect(self, request: Request) -> Response:
        check_content_type(request, _TYPES)
        recipe = request.query_params.get("recipe", "")
        if recipe not in self._context.recipes:
            raise RequestError("recipe: choose one of those that are listed", status=404)
        part_id = read_part_id(request.query_params.get("part_id", ""))
        async with self._context.bodies.read(request) as body:
            task = Task(recipe, body, "page", self._context.deadline_s, "all", part_id)
            recorded = await inspect_and_record(self._context.inspecting, task, source="page")
        anomaly_map = recorded.outcome.anomaly_map
        if anomaly_map is not None:
            png = await asyncio.to_thread(heat_map_png, anomaly_map)
            self._context.board.keep_map(recorded.result_id, png)
        lean = replace(recorded, outcome=replace(recorded.outcome, anomaly_map=None))
        return json_answer(result_record(lean) | {"has_map": anomaly_map is not None})
