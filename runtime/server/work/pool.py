"""The pool: tasks in, outcomes out, one supervised engine behind a bounded queue."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from vipx.errors import ImageError, UsageError
from vipx.runtime.server.work.booking.entry import Entry
from vipx.runtime.server.work.faults import EngineDown, QueueFull, TooLate, UnknownRecipe
from vipx.runtime.server.work.recipes import LoadedRecipe, RecipeInfo
from vipx.runtime.server.work.service import Service
from vipx.runtime.server.work.settings import WorkSettings
from vipx.runtime.server.work.task import Outcome, Task

_STEP_S = 0.005  # of waiting for the last answers


@dataclass(frozen=True, slots=True)
class PoolState:
    """How the pool is.

    Attributes:
        ready: Whether an engine whose goldens hold takes tasks.
        degraded: Why the fallback engine answers; None if the one that was asked for does.
        queued: Tasks that wait for the engine.
        restarts: How often a child was lost or did not start.
        engine: The engine's description in one line; the last one's while none is there.
        reason: Why it is not ready.
        memory: Resident bytes of the child when it was ready.
        pid: Of the child, while there is one.
    """

    ready: bool
    degraded: str | None
    queued: int
    restarts: int
    engine: str
    reason: str | None = None
    memory: int = 0
    pid: int | None = None


class Pool:
    """Inspects tasks with one engine in a child process; used from one event loop.

    Example:
        pool = Pool(WorkSettings(Path("part.vipx"), (LoadedRecipe("part", threshold=0.6),)))
        await pool.start()
        outcome = await pool.inspect(Task("part", jpeg))
        await pool.close()
    """

    def __init__(self, settings: WorkSettings) -> None:
        self._settings = settings
        self._service: Service | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._is_closing = False

    async def start(self) -> None:
        """Start the engine; done when its goldens hold.

        Raises:
            VipxError: The bundle, a recipe or the engine cannot be used, or the goldens do not hold.
        """
        self._service = Service(self._settings)
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._keeping = asyncio.create_task(self._service.keeper.run(first))
        try:
            await asyncio.wait({first, self._keeping}, return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                self._keeping.result()
            await first
        except BaseException:
            await self.close(0.0)
            raise

    @property
    def state(self) -> PoolState:
        """Say how the pool is."""
        service = self._service
        if service is None:
            return PoolState(False, None, 0, 0, "", "the server was not started")
        child, ready = service.child, service.ready
        return PoolState(
            ready=child is not None and not self._is_closing,
            degraded=service.keeper.degraded,
            queued=service.book.waiting,
            restarts=service.keeper.restarts,
            engine=service.engine[0],
            reason=service.reason,
            memory=0 if ready is None else ready.memory,
            pid=None if child is None else child.pid,
        )

    @property
    def recipes(self) -> tuple[RecipeInfo, ...]:
        """List what can be asked for.

        Raises:
            EngineDown: No engine was ready yet.
        """
        service = self._started()
        if service.ready is None:
            raise service.down()
        size = (service.ready.height, service.ready.width)
        return tuple(
            RecipeInfo(name, size, recipe.thresholds, recipe.version)
            for name, recipe in service.recipes.items()
        )

    @property
    def identity(self) -> str:
        """Give the sha256 of the bundle's manifest; empty before an engine was ready."""
        return "" if self._service is None else self._service.engine[1]

    def loaded_recipe(self, name: str) -> LoadedRecipe:
        """Give the recipe that answers for a name, to make the next version from.

        Raises:
            UnknownRecipe: There is none.
        """
        recipes = self._started().recipes
        if name not in recipes:
            raise UnknownRecipe(f"no recipe {name!r}; this server has {', '.join(recipes)}")
        return recipes[name]

    async def inspect(self, task: Task) -> Outcome:
        """Inspect one image. Cancelling the call frees its place.

        Raises:
            UnknownRecipe: There is no such recipe.
            QueueFull: As many tasks wait as may.
            TooLate: It waited longer than its deadline.
            EngineDown: No checked engine is there.
            ImageError: The image cannot be read.
        """
        service = self._started()
        self.loaded_recipe(task.recipe)
        self._check_image(task)
        if service.child is None or self._is_closing:
            raise service.down()
        entry = service.book.admit(task)
        entry.await_until(task.deadline_s, self._expire)
        displaced = service.book.queue.add(entry)
        if displaced is not None:
            displaced.fail(QueueFull(service.book.drain_s))
        service.feed()
        try:
            return await entry.answer
        finally:
            service.leave(entry)

    async def replace_recipe(self, name: str, recipe: LoadedRecipe) -> None:
        """Judge by another recipe from now on; what is asked for after this call is judged by it.

        Raises:
            UnknownRecipe: There is none of this name.
            UsageError: The recipe has another name, other folded texts, or does not suit the bundle.
            EngineDown: No engine is there to take it.
        """
        held = self.loaded_recipe(name)
        if recipe.name != name:
            raise UsageError(f"recipe {recipe.name!r}: expected the name {name!r}")
        if (held.recipe and held.recipe.fold) != (recipe.recipe and recipe.recipe.fold):
            raise UsageError(f"{name}: has other folded texts; restart the server with this recipe")
        if (refused := await self._started().exchange(recipe)) is not None:
            raise UsageError(f"{name}: {refused}")

    async def close(self, drain_s: float = 5.0) -> None:
        """Take no more tasks, answer those that were taken, and end the engine.

        Args:
            drain_s: What is not answered by then is answered EngineDown.
        """
        service, self._is_closing = self._service, True
        if service is None or self._keeping is None:
            return
        service.begin_closing()
        end = monotonic() + drain_s
        while not service.book.is_empty and service.child and monotonic() < end:
            await asyncio.sleep(_STEP_S)
        service.ask_to_stop()
        self._keeping.cancel()
        with suppress(asyncio.CancelledError):
            await self._keeping
        self._keeping = None
        service.close()

    def _started(self) -> Service:
        if self._service is None:
            raise EngineDown("the server was not started", 1.0)
        return self._service

    def _check_image(self, task: Task) -> None:
        image, most = task.image, self._settings.bounds.frame_bytes
        length = len(image) if isinstance(image, bytes) else image.nbytes
        if length > most:
            raise ImageError(f"the picture has {length:,} bytes and the limit is {most:,}")
        if not isinstance(image, bytes) and 0 in image.shape:
            raise ImageError(f"the picture of {image.shape} has no pixels")

    def _expire(self, entry: Entry) -> None:
        service = self._started()
        reason = f"it waited {entry.task.deadline_s:.3g} s for the engine, as long as it may"
        entry.fail(TooLate(reason, service.book.drain_s))
        service.leave(entry)
