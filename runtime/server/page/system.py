"""The System screen: engine, disk, sources, sinks, the audit, and what this machine can run."""

import asyncio
from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vipx.runtime.server.app.answers import json_answer
from vipx.runtime.server.app.safety.destinations import own_path
from vipx.runtime.server.page.context import PageContext, PeerState
from vipx.runtime.server.page.rendering import Templates

_ENTRIES = 100


class SystemScreen:
    """Shows how everything is."""

    def __init__(self, context: PageContext, templates: Templates) -> None:
        self._context, self._templates = context, templates
        self._examining = asyncio.Lock()

    def routes(self) -> list[BaseRoute]:
        """List the paths."""
        return [
            Route("/system", self._page, methods=["GET"]),
            Route("/system/report", self._report, methods=["GET"]),
            Route("/login", self._login, methods=["GET"]),
        ]

    async def _page(self, request: Request) -> Response:
        context, reader = self._context, self._context.store.reader
        peers, outbox = context.peers(), await asyncio.to_thread(reader.outbox)
        return self._templates.page(
            request,
            "system.html",
            work=context.inspecting.work.state,
            recipes=[
                (recipe, context.desk.in_force(recipe.name))
                for recipe in context.inspecting.work.recipes
            ],
            storage=context.store.state(),
            rules=context.store.settings,
            totals=await asyncio.to_thread(reader.totals),
            outbox=outbox,
            abandoned=_abandoned(outbox, peers),
            audit=await asyncio.to_thread(reader.audit, _ENTRIES),
            peers=peers,
            settings=dict(context.settings or {}),
        )

    async def _report(self, _: Request) -> Response:
        async with self._examining:  # it starts engines: once at a time is enough
            return json_answer(await asyncio.to_thread(self._context.examine))

    async def _login(self, request: Request) -> Response:
        after = own_path(request.query_params.get("next", "/"))
        return self._templates.page(request, "login.html", after=after)


def _abandoned(outbox: Mapping[str, int], peers: Sequence[PeerState]) -> dict[str, int]:
    """Give what waits for sinks that are not configured any more: renamed, perhaps by mistake."""
    known = {peer.name for peer in peers}
    return {
        name: waiting
        for name, waiting in outbox.items()
        if name not in known and not name.startswith("dropped:")
    }
