"""The History screen: what was inspected, what people say of it, and its export."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from vipx.runtime.server.app.answers import json_answer
from vipx.runtime.server.app.safety.bodies import check_content_type
from vipx.runtime.server.page.context import PageContext, person
from vipx.runtime.server.page.rendering import Templates
from vipx.runtime.server.protocol.faults import RequestError
from vipx.runtime.server.protocol.json_text import read_json_object
from vipx.runtime.server.storage.pictures import for_browser, thumbnail, thumbnail_of
from vipx.runtime.server.storage.reader import Filter
from vipx.runtime.server.storage.record import LABELS, Label, Result, is_result_id
from vipx.verdict import Verdict

_PAGE = 60
_THUMBNAILS_AT_ONCE = 2  # each may decode a large picture in the process that answers the line
_FIELDS = (
    "recipe",
    "verdict",
    "part_id",
    "since",
    "until",
    "least",
    "most",
    "label",
    "calibration",
)


class HistoryScreen:
    """Finds results, shows one, takes labels, and streams exports."""

    def __init__(self, context: PageContext, templates: Templates) -> None:
        self._context, self._templates = context, templates
        self._decoding = asyncio.Semaphore(_THUMBNAILS_AT_ONCE)

    def routes(self) -> list[BaseRoute]:
        """List the paths."""
        return [
            Route("/history", self._templates.screen(self._page), methods=["GET"]),
            Route("/history/export.csv", self._csv, methods=["GET"]),
            Route("/history/export.zip", self._zip, methods=["GET"]),
            Route("/results/{result_id}", self._templates.screen(self._result), methods=["GET"]),
            Route("/results/{result_id}/picture", self._picture, methods=["GET"]),
            Route("/results/{result_id}/thumbnail", self._thumbnail, methods=["GET"]),
            Route("/results/{result_id}/map", self._map, methods=["GET"]),
            Route("/results/{result_id}/label", self._label, methods=["POST"]),
            Route("/results/{result_id}/calibration", self._calibration, methods=["POST"]),
        ]

    async def _page(self, request: Request) -> Response:
        wanted = filter_of(request)
        store = self._context.store
        results = await store.find(wanted, _PAGE)
        given = {name: request.query_params.get(name, "") for name in _FIELDS}
        query = {name: value for name, value in given.items() if value}
        more = urlencode(query | {"before": str(results[-1].seq)}) if len(results) == _PAGE else ""
        return self._templates.page(
            request,
            "history.html",
            results=results,
            given=given,
            query=urlencode(query),
            more=more,
            count=await asyncio.to_thread(store.reader.count, wanted),
            recipes=await asyncio.to_thread(store.reader.recipes),
            verdicts=[verdict.value for verdict in Verdict],
            labels=LABELS,
        )

    async def _csv(self, request: Request) -> Response:
        chunks = self._context.store.export_csv(filter_of(request))
        return _download(chunks, "text/csv; charset=utf-8", "vipx-results.csv")

    async def _zip(self, request: Request) -> Response:
        chunks = self._context.store.export_zip(filter_of(request))
        return _download(chunks, "application/zip", "vipx-results.zip")

    async def _result(self, request: Request) -> Response:
        result = await self._kept(request)
        return self._templates.page(request, "result.html", result=result)

    async def _picture(self, request: Request) -> Response:
        data = await self._bytes(request, "image")
        async with self._decoding:
            picture = await asyncio.to_thread(for_browser, data)
        if picture is None:
            raise RequestError("this result has no picture that can be shown", status=404)
        return _lasting(*picture)

    async def _thumbnail(self, request: Request) -> Response:
        shown = self._context.board.find(_result_id(request))
        if shown is not None and shown.frame is not None:  # its picture may not be written yet
            small = await asyncio.to_thread(thumbnail_of, shown.frame)
            return _lasting(small, "image/jpeg")
        data = await self._bytes(request, "image")
        async with self._decoding:
            return _lasting(await asyncio.to_thread(thumbnail, data), "image/jpeg")

    async def _map(self, request: Request) -> Response:
        held = self._context.board.map_of(_result_id(request))
        return _lasting(held or await self._bytes(request, "heat_map"), "image/png")

    async def _label(self, request: Request) -> Response:
        said = await self._said(request)
        result = await self._kept(request)
        label = _label_of(result, said.get("truth"))
        await self._context.store.set_review(
            result.record.result_id, label, person(request, said.get("who"))
        )
        return json_answer({"label": label})

    async def _calibration(self, request: Request) -> Response:
        said = await self._said(request)
        picked = said.get("picked")
        if not isinstance(picked, bool):
            raise RequestError("picked: expected true or false")
        who = person(request, said.get("who"))
        await self._context.store.set_calibration(_result_id(request), picked, who)
        return json_answer({"picked": picked})

    async def _said(self, request: Request) -> dict[str, Any]:
        check_content_type(request, ("application/json",))
        async with self._context.bodies.read(request) as body:
            return read_json_object(body)

    async def _kept(self, request: Request) -> Result:
        result = await self._context.store.get(_result_id(request))
        if result is None:
            raise RequestError("there is no such result; it may have been removed", status=404)
        return result

    async def _bytes(self, request: Request, which: str) -> bytes:
        shown = self._context.board.find(_result_id(request))
        if shown is not None and (held := getattr(shown.record, which)) is not None:
            return bytes(held)
        relative = getattr(await self._kept(request), which)
        path: Path | None = relative and self._context.store.settings.folder / relative
        if path is None:
            raise RequestError("this was not kept", status=404)
        try:
            return await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError as error:
            raise RequestError("this was removed meanwhile", status=404) from error


def filter_of(request: Request) -> Filter:
    """Read the filter of an address; an empty field does not restrict.

    Raises:
        RequestError: A field cannot be understood.
    """
    given = {name: value for name, value in request.query_params.items() if value}
    try:
        return Filter(
            recipe=given.get("recipe"),
            verdict=Verdict(given["verdict"]) if "verdict" in given else None,
            part_id=given.get("part_id"),
            since=_milliseconds(given.get("since")),
            until=_milliseconds(given.get("until")),
            least=float(given["least"]) if "least" in given else None,
            most=float(given["most"]) if "most" in given else None,
            label=given.get("label"),
            calibration=True if given.get("calibration") else None,
            before=int(given["before"][:18]) if "before" in given else None,
        )
    except (ValueError, OverflowError) as error:
        raise RequestError(f"the filter cannot be understood: {error}") from error


def _milliseconds(text: str | None) -> int | None:
    """Read a local time of the form's field as UTC: what the page shows is UTC as well."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text.removesuffix("Z"))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return int(moment.timestamp() * 1000)


def _label_of(result: Result, truth: object) -> Label | None:
    """Turn what the part really is into a label of its verdict."""
    if truth not in ("good", "defective", None):
        raise RequestError("truth: expected good, defective or null")
    if truth is None:
        return None
    if result.record.verdict is Verdict.OK:
        return "true_ok" if truth == "good" else "false_ok"
    return "false_ng" if truth == "good" else "true_ng"


def _result_id(request: Request) -> str:
    result_id = str(request.path_params["result_id"])
    if not is_result_id(result_id):
        raise RequestError("this is no result's id", status=404)
    return result_id


def _download(chunks: Iterator[bytes], kind: str, name: str) -> Response:
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(chunks, media_type=kind, headers=disposition)


def _lasting(data: bytes, kind: str) -> Response:
    """Answer with something that never changes under its address."""
    return Response(data, media_type=kind, headers={"Cache-Control": "private, max-age=86400"})
