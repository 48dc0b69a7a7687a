"""A pool and a store that answer at once, and requests to an application in this process."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import numpy as np
import uvicorn
from starlette.types import ASGIApp

from vipx.images import decode_image
from vipx.runtime.server.app.application import assemble
from vipx.runtime.server.app.inspection import Inspecting
from vipx.runtime.server.app.safety.bodies import Bodies
from vipx.runtime.server.app.safety.connections import connection_class
from vipx.runtime.server.settings import Limits, ServerSettings
from vipx.runtime.server.storage.record import Receipt, Record
from vipx.runtime.server.work.pool import PoolState
from vipx.runtime.server.work.recipes import RecipeInfo, Thresholds
from vipx.runtime.server.work.task import Outcome, Region, Task, wants_map
from vipx.verdict import Verdict, decide

SIZE = (6, 8)
TOKEN = "0123456789abcdef-token"
PASSWORD = "correct horse battery"


def outcome_of(task: Task, threshold: float | None = 0.5, **changes: Any) -> Outcome:
    """Judge a picture by its brightness; its map is its score everywhere."""
    image = task.image
    pixels = decode_image(image, name="picture") if isinstance(image, bytes) else image
    score = float(np.float32(pixels.mean() / 255))
    decision = decide(score, threshold)
    values: dict[str, Any] = {
        "verdict": decision.verdict,
        "score": score,
        "threshold": threshold,
        "review": None,
        "reason": decision.reason,
        "regions": (Region(1, 2, 3, 4, 12, 0.75),) if decision.verdict is Verdict.NG else (),
        "anomaly_map": np.full(SIZE, score, np.float32)
        if wants_map(task.maps, decision.verdict)
        else None,
        "size": (pixels.shape[0], pixels.shape[1]),
        "microseconds": {"queue": 10, "preprocess": 20, "infer": 3000, "postprocess": 40},
        "engine": "fake 1.0 on cpu",
        "identity": "ab" * 32,
    }
    return Outcome(**(values | changes))


@dataclass
class FakePool:
    """Answers with `answer`; remembers what it was asked."""

    names: tuple[str, ...] = ("part",)
    answer: Callable[[Task], Outcome] = outcome_of
    ready: bool = True
    tasks: list[Task] = field(default_factory=list)

    async def inspect(self, task: Task) -> Outcome:
        self.tasks.append(task)
        await asyncio.sleep(0)
        return self.answer(task)

    @property
    def recipes(self) -> tuple[RecipeInfo, ...]:
        return tuple(RecipeInfo(name, SIZE, Thresholds(0.5), "v") for name in self.names)

    @property
    def state(self) -> PoolState:
        return PoolState(self.ready, None, 0, 2, "fake 1.0 on cpu")


@dataclass
class FakeStore:
    """Keeps records in a list."""

    stored: bool = True
    records: list[Record] = field(default_factory=list)

    async def append(self, record: Record) -> Receipt:
        self.records.append(record)
        return Receipt(len(self.records), self.stored)


@dataclass
class Served:
    """An application and what stands behind it."""

    app: ASGIApp
    pool: FakePool
    store: FakeStore
    inspecting: Inspecting

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        async def once(client: httpx2.AsyncClient) -> httpx2.Response:
            return await client.request(method, path, **options)

        return self.with_client(once)

    def with_client(self, use: Callable[[httpx2.AsyncClient], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://127.0.0.1:8000"
            ) as client:
                return await use(client)

        return asyncio.run(run())


def served(pool: FakePool | None = None, **settings: Any) -> Served:
    pool, store = pool or FakePool(), FakeStore()
    options = ServerSettings(**settings)
    inspecting = Inspecting(pool, store, keep_maps=options.keep_maps)
    return Served(assemble(options, inspecting, Bodies(options.limits)), pool, store, inspecting)


@contextmanager
def listening(app: ASGIApp, limits: Limits | None = None) -> Iterator[int]:
    """Serve on a free port of this machine, in a thread, with the server's own connections."""
    bounds = limits or Limits()
    config = uvicorn.Config(
        app,
        port=0,
        http=connection_class(bounds),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        timeout_keep_alive=int(bounds.idle_s),
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        while not server.started:
            threading.Event().wait(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)


def grey(value: int, height: int = 4, width: int = 5) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def error_of(response: httpx2.Response, status: int) -> str:
    """Check that an answer is the error that every client can read."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/json"
    record: Mapping[str, str] = response.json()
    assert isinstance(record["error"], str)
    assert record["error"]
    return record["error"]
