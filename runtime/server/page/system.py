"""The System screen: engine, disk, sources, sinks, the audit, and what this machine can run."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from vipx.errors import ResourceError
from vipx.runtime.server.app.answers import json_answer
from vipx.runtime.server.app.safety.destinations import own_path
from vipx.runtime.server.page.context import PageContext, PeerState
from vipx.runtime.server.page.rendering import Templates
from vipx.runtime.server.storage.reader import AuditEntry, Reader, Totals

_ENTRIES = 100


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the database has for this screen; nothing where it cannot be read."""

    outbox: Mapping[str, int] = field(default_factory=dict)
    totals: Sequence[Totals] = ()
    audit: Sequence[AuditEntry] = ()
    fault: str | None = None


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
        context, peers = self._context, self._context.peers()
        kept = await asyncio.to_thread(_kept, context.store.reader)
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
            kept=kept,
            abandoned=_abandoned(kept.outbox, peers),
            peers=peers,
            settings=dict(context.settings or {}),
        )

    async def _report(self, _: Request) -> Response:
        async with self._examining:  # it starts engines: once at a time is enough
            return json_answer(await asyncio.to_thread(self._context.examine))

    async def _login(self, request: Request) -> Response:
        after = own_path(request.query_params.get("next", "/"))
        return self._templates.page(request, "login.html", after=after)


def _kept(reader: Reader) -> _Kept:
    try:
        return _Kept(reader.outbox(), reader.totals(), reader.audit(_ENTRIES))
    except ResourceError as error:  # engine, sources and sinks are shown all the same
        return _Kept(fault=str(error))


def _abandoned(outbox: Mapping[str, int], peers: Sequence[PeerState]) -> dict[str, int]:
    """Give what waits for sinks that are not configured any more: renamed, perhaps by mistake."""
    known = {peer.name for peer in peers}
    return {
        name: waiting
        for name, waiting in outbox.items()
        if name not in known and not name.startswith("dropped:")
    }
