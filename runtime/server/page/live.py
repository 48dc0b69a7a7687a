"""The Live screen: what the line does now, large enough for two metres."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from vipx.runtime.server.app.answers import json_answer, unavailable
from vipx.runtime.server.page.context import PageContext
from vipx.runtime.server.page.rendering import Templates
from vipx.runtime.server.protocol.faults import RequestError
from vipx.runtime.server.storage.pictures import for_browser
from vipx.runtime.server.storage.png import frame_png

_SHORT = {"Cache-Control": "max-age=60"}


class LiveScreen:
    """Shows the board, streams its changes, and lets the operator acknowledge."""

    def __init__(self, context: PageContext, templates: Templates) -> None:
        self._context, self._templates = context, templates

    def routes(self) -> list[BaseRoute]:
        """List the paths."""
        return [
            Route("/", self._page, methods=["GET"]),
            Route("/events", self._events, methods=["GET"]),
            Route("/live.jpg", self._picture, methods=["GET"]),
            Route("/live/acknowledge", self._acknowledge, methods=["POST"]),
            Route("/live/reset", self._reset, methods=["POST"]),
        ]

    async def _page(self, request: Request) -> Response:
        return self._templates.page(request, "live.html", latch=self._context.board.latch)

    async def _events(self, _: Request) -> Response:
        board = self._context.board
        if board.crowded:
            return unavailable("too many pages are open; close some", 10.0)
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def _stream(self) -> AsyncIterator[str]:
        async for board in self._context.board.events(self.status):
            yield f"data: {board}\n\n"

    def status(self) -> dict[str, Any]:
        """Say how engine, store, sources and sinks are, as every event does."""
        work, store = self._context.inspecting.work.state, self._context.store.state()
        return {
            "engine": {
                "ready": work.ready,
                "degraded": work.degraded,
                "queued": work.queued,
            },
            "storage": {"stored": store.stored, "alarm": store.alarm},
            "alarms": self._context.alarms(),
        }

    async def _picture(self, request: Request) -> Response:
        """Give a picture of the board, by its number; the newest where none is named."""
        board = self._context.board
        wanted = request.query_params.get("seq", "")
        seq = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 19 else None
        shown = board.newest if seq is None else board.numbered(seq)
        if shown is None or (shown.record.image is None and shown.frame is None):
            raise RequestError("this picture is not on the board any more", status=404)
        if shown.frame is not None:
            png = await asyncio.to_thread(frame_png, shown.frame)
            return Response(png, media_type="image/png", headers=_SHORT)
        picture = await asyncio.to_thread(for_browser, shown.record.image or b"")
        if picture is None:
            raise RequestError("this result has no picture that can be shown", status=404)
        return Response(picture[0], media_type=picture[1], headers=_SHORT)

    async def _acknowledge(self, request: Request) -> Response:
        latched = self._context.board.latched
        self._context.board.acknowledge()
        if latched is not None:
            await self._context.store.audit(
                _address(request), "acknowledge", str(latched["result_id"])
            )
        return json_answer({"latched": None})

    async def _reset(self, request: Request) -> Response:
        counters = self._context.board.counters.plain()
        self._context.board.reset()
        detail = ", ".join(f"{name} {value}" for name, value in counters.items())
        await self._context.store.audit(_address(request), "reset counters", "live", detail)
        return json_answer({})


def _address(request: Request) -> str:
    return f"operator at {request.client.host if request.client else '?'}"
