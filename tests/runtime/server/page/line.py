"""A whole server in this process: the real application, store and screens before an engine that is made up."""

import asyncio
import io
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import uvicorn
from PIL import Image
from starlette.types import ASGIApp

from tests.runtime.server.storage.records import ROOM
from vipx.errors import UsageError
from vipx.images import decode_image
from vipx.runtime.server.app.application import assemble
from vipx.runtime.server.app.inspection import Inspecting
from vipx.runtime.server.app.safety.bodies import Bodies
from vipx.runtime.server.app.safety.passwords import hash_password
from vipx.runtime.server.page.board import Board
from vipx.runtime.server.page.context import PageContext, PeerState
from vipx.runtime.server.page.desk import ThresholdDesk
from vipx.runtime.server.page.routes import page_routes
from vipx.runtime.server.settings import ServerSettings
from vipx.runtime.server.storage.settings import StorageSettings
from vipx.runtime.server.storage.store import Store
from vipx.runtime.server.storage.writing.disk import DiskSpace
from vipx.runtime.server.work.faults import UnknownRecipe
from vipx.runtime.server.work.pool import PoolState
from vipx.runtime.server.work.recipes import LoadedRecipe, RecipeInfo
from vipx.runtime.server.work.task import Outcome, Region, Task, wants_map
from vipx.verdict import Verdict

PASSWORD = "correct horse battery"
LINE = hash_password(PASSWORD)
SIZE = (48, 64)
PEERS = (
    PeerState("in", "folder", "source", None, "3 pictures"),
    PeerState("mes", "webhook", "sink", "no answer for 20 s", "2 waiting"),
)


@dataclass
class FakePool:
    """Judges a picture by its mean brightness; the map is bright where the picture is."""

    held: dict[str, LoadedRecipe] = field(
        default_factory=lambda: {
            name: LoadedRecipe(name, None, 0.5, 0.4) for name in ("bolt", "nut")
        }
    )
    refuse: bool = False
    is_ready: bool = True
    degraded: str | None = None
    fail: bool = False
    refuse_with: Exception | None = None

    async def inspect(self, task: Task) -> Outcome:
        if self.refuse_with is not None:
            raise self.refuse_with
        image = task.image
        pixels = decode_image(image, name="picture") if isinstance(image, bytes) else image
        score, loaded = float(np.float32(pixels.mean() / 255)), self.held[task.recipe]
        ng, review = loaded.threshold or 1.0, loaded.review or 1.0
        if self.fail:
            return failed_outcome()
        verdict = Verdict.NG if score >= ng else Verdict.REVIEW if score >= review else Verdict.OK
        values = Image.fromarray(pixels).convert("F").resize(SIZE[::-1])
        return Outcome(
            verdict=verdict,
            score=score,
            threshold=loaded.threshold,
            review=loaded.review,
            reason=f"score {score:.4f} beside the threshold {ng:.4f}",
            regions=(Region(1, 2, 30, 20, 600, 0.9),) if verdict is Verdict.NG else (),
            anomaly_map=np.asarray(values, np.float32) / 255
            if wants_map(task.maps, verdict)
            else None,
            size=pixels.shape[:2],
            microseconds={"queue": 40, "preprocess": 900, "infer": 23000, "postprocess": 300},
            engine="onnxruntime 1.31.1 on cpu, fp32",
            identity="ab" * 32,
        )

    @property
    def recipes(self) -> tuple[RecipeInfo, ...]:
        return tuple(RecipeInfo(r.name, SIZE, r.thresholds, r.version) for r in self.held.values())

    @property
    def state(self) -> PoolState:
        return PoolState(self.is_ready, self.degraded, 0, 1, "onnxruntime 1.31.1 on cpu, fp32")

    def loaded_recipe(self, name: str) -> LoadedRecipe:
        if name not in self.held:
            raise UnknownRecipe(f"no recipe {name!r}")
        return self.held[name]

    async def replace_recipe(self, name: str, recipe: LoadedRecipe) -> None:
        if self.refuse:
            raise UsageError("the engine does not take it")
        self.held[name] = recipe


def failed_outcome() -> Outcome:
    return Outcome(
        verdict=Verdict.ERROR,
        score=None,
        threshold=None,
        review=None,
        reason="the engine was lost",
        regions=(),
        anomaly_map=None,
        size=(0, 0),
        microseconds={"queue": 40},
        engine="onnxruntime 1.31.1 on cpu, fp32",
        identity="ab" * 32,
    )


@dataclass
class FakeLine:
    """A server, not yet started."""

    folder: Path
    latch: bool = False
    pool: FakePool = field(default_factory=FakePool)
    settings: ServerSettings = field(
        default_factory=lambda: ServerSettings(engineer=LINE, keep_maps="all")
    )
    storage: dict[str, Any] = field(default_factory=dict)
    sinks: tuple[str, ...] = ()
    room: DiskSpace = ROOM
    told: list[Callable[[], Sequence[PeerState]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        options = {"patience_s": 30.0, "pending": 1000} | self.storage
        self.store = Store(StorageSettings(self.folder, **options), self.sinks, lambda _: self.room)
        self.board = Board(latch=self.latch)
        self.bodies = Bodies(self.settings.limits)
        self.inspecting = Inspecting(self.pool, self.store, keep_maps=self.settings.keep_maps)
        self.desk = ThresholdDesk(self.pool, self.store)
        self.context = PageContext(
            inspecting=self.inspecting,
            store=self.store,
            board=self.board,
            bodies=self.bodies,
            desk=self.desk,
            peers=self.peers,
            examine=lambda: {"vipx": "0", "engines": []},
            settings={"host": "127.0.0.1"},
        )
        self.app = assemble(self.settings, self.inspecting, self.bodies, page_routes(self.context))

    def peers(self) -> Sequence[PeerState]:
        """Made up, unless a test has sources and sinks that run."""
        return self.told[0]() if self.told else PEERS

    def run(self, use: Callable[["FakeLine", httpx2.AsyncClient], Awaitable[Any]]) -> Any:
        """Start, use by a client in this process, and stop."""

        async def whole() -> Any:
            await self.store.start()
            await self.desk.start(list(self.pool.held))
            transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False)
            try:
                async with httpx2.AsyncClient(
                    transport=transport, base_url="http://127.0.0.1:8000"
                ) as client:
                    return await use(self, client)
            finally:
                await self.store.close()

        return asyncio.run(whole())


@contextmanager
def listening(line: FakeLine, at: int = 0) -> Iterator[str]:
    """Serve a line on a free port, or on a given one, in a thread; gives its address."""
    port: list[int] = []
    ended = threading.Event()

    async def serve() -> None:
        await line.store.start()
        await line.desk.start(list(line.pool.held))
        config = uvicorn.Config(
            line.app,
            port=at,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port.append(server.servers[0].sockets[0].getsockname()[1])
        while not ended.is_set():
            await asyncio.sleep(0.02)
        line.board.close()
        server.should_exit = True
        await serving
        await line.store.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        while not port and thread.is_alive():
            threading.Event().wait(0.01)
        yield f"http://127.0.0.1:{port[0]}"
    finally:
        ended.set()
        thread.join(20)


def photo(level: int = 60, spot: int = 0, *, kind: str = "PNG") -> bytes:
    """A grey picture with a bright spot; its mean makes the score."""
    pixels = np.full((180, 240, 3), level, np.uint8)
    pixels[60:120, 80:160] = max(level, spot)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=kind)
    return file.getvalue()


def asgi(app: ASGIApp) -> httpx2.ASGITransport:
    return httpx2.ASGITransport(app)
