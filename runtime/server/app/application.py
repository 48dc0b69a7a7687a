"""Puts the server together: routes, guard, counters, pages."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from vipx.runtime.server.app.answers import HANDLERS
from vipx.runtime.server.app.describing.openapi import description
from vipx.runtime.server.app.describing.page import docs_page
from vipx.runtime.server.app.inspect_routes import InspectRoutes
from vipx.runtime.server.app.inspection import Inspecting
from vipx.runtime.server.app.metrics import CONTENT_TYPE, metrics_text
from vipx.runtime.server.app.protocol_routes import ProtocolRoutes
from vipx.runtime.server.app.safety.access import Access
from vipx.runtime.server.app.safety.bodies import Bodies
from vipx.runtime.server.app.safety.guard import Guard
from vipx.runtime.server.app.safety.session_routes import SessionRoutes
from vipx.runtime.server.protocol.json_text import write_json
from vipx.runtime.server.protocol.models import models_of
from vipx.runtime.server.settings import ServerSettings


async def no_metrics() -> Sequence[str]:
    """Count nothing more."""
    return ()


def assemble(
    settings: ServerSettings,
    inspecting: Inspecting,
    bodies: Bodies,
    pages: Sequence[BaseRoute] = (),
    counted: Callable[[], Awaitable[Sequence[str]]] = no_metrics,
) -> Starlette:
    """Make the application with pages.

    Args:
        settings: Whom it answers, and its limits.
        inspecting: What its inspections need.
        bodies: Reads what is sent; one for all routes, as it bounds them together.
        pages: Further routes; they come last, and `request.state.role` is set for them too.
        counted: Gives further lines of `/metrics`.

    Raises:
        UsageError: Two models would have the same name.
    """
    models_of(((one.name, one.size) for one in inspecting.work.recipes), settings.limits.images)
    access = Access(settings)
    routes = [
        *InspectRoutes(settings, inspecting, bodies).routes(),
        *ProtocolRoutes(settings, inspecting, bodies).routes(),
        *SessionRoutes(access, bodies).routes(),
        *_plain_routes(inspecting, bodies, counted),
        *pages,
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, settings=settings, access=access)],
        exception_handlers=dict(HANDLERS),
    )
    app.router.redirect_slashes = False
    return app


def _plain_routes(
    inspecting: Inspecting, bodies: Bodies, counted: Callable[[], Awaitable[Sequence[str]]]
) -> list[Route]:
    async def metrics(_: Request) -> Response:
        recipes = ((one.name, one.size) for one in inspecting.work.recipes)
        more = await counted()
        text = metrics_text(inspecting, models_of(recipes, 1), bodies.held, more)
        return Response(text, media_type=CONTENT_TYPE)

    described, page = write_json(description()), docs_page(description())

    async def openapi(_: Request) -> Response:
        return Response(described, media_type="application/json")

    async def docs(_: Request) -> Response:
        return HTMLResponse(page)

    return [
        Route("/metrics", metrics, methods=["GET"]),
        Route("/openapi.json", openapi, methods=["GET"]),
        Route("/docs", docs, methods=["GET"]),
    ]
