"""The whole server: engine, store, pages and network, started in order and ended in the other."""

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from starlette.applications import Starlette

from vipx.runtime.server.app.application import assemble, inspecting_of
from vipx.runtime.server.app.inspection import Inspecting
from vipx.runtime.server.app.safety.bodies import Bodies
from vipx.runtime.server.page.board import Board
from vipx.runtime.server.page.context import PageContext
from vipx.runtime.server.page.desk import ThresholdDesk
from vipx.runtime.server.page.routes import page_routes
from vipx.runtime.server.settings import ServerSettings
from vipx.runtime.server.storage.settings import StorageSettings
from vipx.runtime.server.storage.store import Store
from vipx.runtime.server.supervision import (
    Notifier,
    bind,
    serve,
    start_unless_told,
    until_told,
)
from vipx.runtime.server.work.pool import Pool
from vipx.runtime.server.work.settings import WorkSettings


@dataclass(frozen=True, slots=True)
class LineServer:
    """Everything that `vipx serve-local` was told.

    Attributes:
        network: Where it listens and whom it answers.
        work: Bundle, recipes and engine.
        storage: Where results are kept.
        latch: Whether an NG stays on the Live screen until somebody acknowledges it.
        shown: What the System screen tells of the settings; no secret.
    """

    network: ServerSettings
    work: WorkSettings
    storage: StorageSettings
    latch: bool = False
    shown: Mapping[str, str] = field(default_factory=dict)


async def run_until_told(server: LineServer, ready: Callable[[str, str], None]) -> None:
    """Serve until SIGTERM or SIGINT; then answer what was accepted, write what waits, and end the engine.

    Args:
        server: What to serve.
        ready: Called with the address and the engine's description once both answer.

    Raises:
        VipxError: The address, the bundle, a recipe, the engine or the store cannot be used.
    """
    notifier, ending = Notifier.from_environment(), asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.enter_context(until_told(ending, lambda: notifier.tell("STOPPING=1")))
        taken = stack.enter_context(bind(server.network))
        store = Store(server.storage)
        pool = Pool(server.work)
        async with notifier.starting():
            stack.push_async_callback(pool.close, server.network.drain_s)
            if not await start_unless_told(pool.start(), ending):
                return
            await store.start()
            stack.push_async_callback(store.close)
            app = await _application(server, pool, store, ending)

        def tell() -> None:
            notifier.tell("READY=1", f"STATUS={pool.state.engine}")
            ready(_address(taken), pool.state.engine)

        await stack.enter_async_context(notifier.alive())
        await serve(app, server.network, taken, ending, tell)


async def _application(
    server: LineServer, pool: Pool, store: Store, ending: asyncio.Event
) -> Starlette:
    joined = inspecting_of(server.network, pool, store)
    inspecting = Inspecting(joined.work, joined.results, joined.counters, joined.keep_maps, ending)
    bodies, desk = Bodies(server.network.limits), ThresholdDesk(pool, store)
    await desk.start([recipe.name for recipe in pool.recipes])
    context = PageContext(
        inspecting=inspecting,
        store=store,
        board=Board(latch=server.latch),
        bodies=bodies,
        desk=desk,
        settings=server.shown,
    )
    return assemble(server.network, inspecting, bodies, page_routes(context))


def _address(taken: socket.socket) -> str:
    host, port = taken.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
