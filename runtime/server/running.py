"""The whole server: engine, store, sinks, sources, page and network, started in order, ended in the other."""

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

from starlette.applications import Starlette
from starlette.responses import Response

from vipx.runtime.doctor import examine
from vipx.runtime.server.app.application import assemble
from vipx.runtime.server.app.inspect_routes import inspection_answer
from vipx.runtime.server.app.inspection import Inspecting
from vipx.runtime.server.app.safety.bodies import Bodies
from vipx.runtime.server.heap import trimmed_heap
from vipx.runtime.server.page.board import Board
from vipx.runtime.server.page.context import PageContext
from vipx.runtime.server.page.desk import ThresholdDesk
from vipx.runtime.server.page.routes import page_routes
from vipx.runtime.server.peers.counting import peer_metrics
from vipx.runtime.server.peers.making import LinePeers
from vipx.runtime.server.peers.peers import Peers
from vipx.runtime.server.settings import ServerSettings
from vipx.runtime.server.storage.settings import StorageSettings
from vipx.runtime.server.storage.store import Store
from vipx.runtime.server.storage.writing.png_process import PngProcess
from vipx.runtime.server.supervision import (
    Notifier,
    Phases,
    bind,
    serve,
    start_unless_told,
    until_told,
)
from vipx.runtime.server.work.pool import Pool
from vipx.runtime.server.work.settings import WorkSettings
from vipx.runtime.sources.source import Picture
from vipx.runtime.sources.trigger import trigger_routes


@dataclass(frozen=True, slots=True)
class LineServer:
    """Everything that `vipx serve-local` was told.

    Attributes:
        network: Where it listens and whom it answers.
        work: Bundle, recipes and engine.
        storage: Where results are kept.
        latch: Whether an NG stays on the Live screen until somebody acknowledges it.
        shown: What the System screen tells of the settings; no secret.
        peers: Sources and sinks besides HTTP.
    """

    network: ServerSettings
    work: WorkSettings
    storage: StorageSettings
    latch: bool = False
    shown: Mapping[str, str] = field(default_factory=dict)
    peers: LinePeers = field(default_factory=LinePeers)


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
        names = [sink.name for sink in server.peers.sinks]
        store = Store(server.storage, names, encoder=PngProcess())
        pool = Pool(server.work)
        async with notifier.starting():
            stack.push_async_callback(pool.close, server.network.drain_s)
            if not await start_unless_told(pool.start(), ending):
                return
            await store.start()
            stack.push_async_callback(store.close)
            line = await _line(server, pool, store, ending)
            stack.push_async_callback(line.peers.stop_sinks)
            line.peers.start_sinks()
            stack.push_async_callback(line.peers.stop_sources)
            line.peers.start_sources()

        def tell() -> None:
            notifier.tell("READY=1", f"STATUS={pool.state.engine}")
            ready(_address(taken), pool.state.engine)

        await stack.enter_async_context(trimmed_heap())
        await stack.enter_async_context(notifier.alive())
        await serve(line.app, server.network, taken, ending, Phases(tell, line.end_streams))


@dataclass(frozen=True, slots=True)
class _Line:
    """What answers, and what runs beside it."""

    app: Starlette
    board: Board
    peers: Peers

    async def end_streams(self) -> None:
        """End what would go on for ever, and take no more pictures."""
        self.board.close()
        await self.peers.stop_sources()


async def _line(server: LineServer, pool: Pool, store: Store, ending: asyncio.Event) -> _Line:
    inspecting = Inspecting(pool, store, keep_maps=server.network.keep_maps, ending=ending)
    bodies, desk = Bodies(server.network.limits), ThresholdDesk(pool, store)
    await desk.start([recipe.name for recipe in pool.recipes])
    peers, board = Peers(server.peers, inspecting, store), Board(latch=server.latch)
    context = PageContext(
        inspecting=inspecting,
        store=store,
        board=board,
        bodies=bodies,
        desk=desk,
        peers=peers.states,
        examine=partial(examine, server.work.bundle),
        settings=server.shown,
    )

    async def triggered(picture: Picture) -> Response:
        return inspection_answer(await peers.inspect(picture))

    routes = [*trigger_routes(peers.cameras, triggered), *page_routes(context)]
    counted = partial(peer_metrics, peers.states, store)
    return _Line(assemble(server.network, inspecting, bodies, routes, counted), board, peers)


def _address(taken: socket.socket) -> str:
    host, port = taken.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
