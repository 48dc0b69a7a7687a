"""The Threshold screen: the scores that were seen, two thresholds, and what they would have changed."""

import asyncio
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vipx.errors import UsageError
from vipx.runtime.server.app.answers import error_answer, json_answer
from vipx.runtime.server.app.safety.bodies import check_content_type
from vipx.runtime.server.page.context import PageContext, expect_engineer, person
from vipx.runtime.server.page.desk import ChangeRefusedError
from vipx.runtime.server.page.rendering import Templates
from vipx.runtime.server.protocol.faults import RequestError
from vipx.runtime.server.protocol.json_text import read_json_object
from vipx.runtime.server.storage.changes import ThresholdChange, VersionConflictError

_MOST = 20_000


class ThresholdScreen:
    """Gives the scores to the browser, which counts; takes a change with who and why."""

    def __init__(self, context: PageContext, templates: Templates) -> None:
        self._context, self._templates = context, templates

    def routes(self) -> list[BaseRoute]:
        """List the paths."""
        return [
            Route("/threshold", self._templates.screen(self._page), methods=["GET"]),
            Route("/threshold", self._save, methods=["POST"]),
            Route("/threshold/scores", self._scores, methods=["GET"]),
        ]

    async def _page(self, request: Request) -> Response:
        name = self._recipe(request.query_params.get("recipe"))
        reader = self._context.store.reader
        return self._templates.page(
            request,
            "threshold.html",
            recipes=self._context.recipes,
            now=self._context.desk.in_force(name),
            versions=await asyncio.to_thread(reader.versions, name),
        )

    async def _scores(self, request: Request) -> Response:
        name = self._recipe(request.query_params.get("recipe"))
        last = request.query_params.get("last", "2000")
        if not (last.isascii() and last.isdigit() and 1 <= int(last[:9]) <= _MOST):
            raise RequestError(f"last: expected 1 to {_MOST}")
        rows = await asyncio.to_thread(self._context.store.reader.scores, name, int(last))
        return json_answer(
            {
                "scores": [row.score for row in rows],
                "labels": [row.label for row in rows],
                "now": asdict(self._context.desk.in_force(name)),
            }
        )

    async def _save(self, request: Request) -> Response:
        expect_engineer(request)
        check_content_type(request, ("application/json",))
        async with self._context.bodies.read(request) as body:
            said = read_json_object(body)
        try:
            version = await self._context.desk.change(self._change(request, said))
        except VersionConflictError as error:
            return error_answer(str(error), 409)
        except ChangeRefusedError as error:
            return error_answer(str(error), 503)
        return json_answer({"version": version.version, "recipe": version.recipe})

    def _change(self, request: Request, said: dict[str, object]) -> ThresholdChange:
        base, why = said.get("base"), said.get("why")
        if not isinstance(base, int) or not isinstance(why, str):
            raise RequestError(
                "expected a JSON object with recipe, base, threshold, review, who, why"
            )
        try:
            return ThresholdChange(
                recipe=self._recipe(said.get("recipe")),
                base=base,
                threshold=_number(said.get("threshold")),
                review=None if said.get("review") is None else _number(said.get("review")),
                who=person(request, said.get("who")),
                why=why,
            )
        except UsageError as error:
            raise RequestError(str(error)) from error

    def _recipe(self, name: object) -> str:
        names = self._context.recipes
        if not names:
            raise RequestError("the engine is not ready yet; try again", status=503)
        if name is None:
            return names[0]
        if name not in names:
            raise RequestError("there is no such recipe", status=404)
        return str(name)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RequestError("threshold, review: expected numbers")
    return float(value)
