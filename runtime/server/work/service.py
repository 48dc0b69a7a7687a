"""The service of one engine after another: work goes to the child, answers come back."""

import asyncio
from dataclasses import asdict
from time import monotonic

from vipx.errors import ImageError
from vipx.runtime.engines.engine import EngineOptions
from vipx.runtime.server.work.booking.book import Book
from vipx.runtime.server.work.booking.entry import Entry
from vipx.runtime.server.work.channel.messages import (
    Answer,
    Beat,
    Cancel,
    Check,
    Checked,
    Dropped,
    Exchange,
    Exchanged,
    Message,
    Ready,
    Start,
    Started,
    Stop,
    Unreadable,
    Work,
)
from vipx.runtime.server.work.channel.slots import Slots
from vipx.runtime.server.work.faults import EngineDown
from vipx.runtime.server.work.keeper import Engines, Keeper
from vipx.runtime.server.work.outcomes import outcome_from_answer, outcome_of_loss
from vipx.runtime.server.work.process import ChildProcess
from vipx.runtime.server.work.recipes import LoadedRecipe
from vipx.runtime.server.work.settings import WorkSettings

_STARTING = "the server is starting"
_CLOSING = "the server is closing"
_LEAST_RUN_S = 2.0
_RUNS = 10  # times a golden image is too long for a run
_STILL = 20  # times the longest run is too long for everything beside a run


class Service:
    """Feeds the child in service from the book, and answers for it when it is lost.

    Attributes:
        book: Of the tasks.
        keeper: Of the children.
        recipes: By name; children are started with them.
        child: The one in service; None while there is none.
        ready: What the latest child said of itself.
        reason: Why there is no child.
    """

    def __init__(self, settings: WorkSettings) -> None:
        self._settings = settings
        bounds = settings.bounds
        self.book = Book(bounds.queue, bounds.batch)
        self.keeper = Keeper(self, Engines(settings.options, settings.fallback), settings.patience)
        self.recipes = {recipe.name: recipe for recipe in settings.recipes}
        self.child: ChildProcess | None = None
        self.ready: Ready | None = None
        self.reason: str | None = _STARTING
        self._slots = Slots(self.book.slots, bounds.frame_bytes)
        self._is_closing = False
        self._check_asked: float | None = None
        self._checked = self._moved = self._decoding_s = 0.0
        self._exchanges: dict[int, tuple[LoadedRecipe, asyncio.Future[str | None]]] = {}

    @property
    def engine(self) -> tuple[str, str]:
        """Give the engine's line and the bundle's identity; the latest child's."""
        return ("", "") if self.ready is None else (self.ready.engine, self.ready.identity)

    def down(self, reason: str | None = None) -> EngineDown:
        """Make the error of a task that no engine is there for."""
        return EngineDown(reason or self.reason or _CLOSING, self.keeper.retry_after())

    def feed(self) -> None:
        """Send the child as much as it may hold: one run, and the next one to prepare meanwhile."""
        while self.child is not None and (entry := self.book.send_next()) is not None:
            if self.book.held == 1:
                self._moved = monotonic()
            self.child.send(self._work(entry))

    def leave(self, entry: Entry) -> None:
        """Free the place of a task that nobody waits for any more."""
        entry.stop_timer()
        if self.book.queue.remove(entry) or self.child is None:
            return
        if self.book.abandon(entry):
            self.child.send(Cancel(entry.number))

    async def exchange(self, recipe: LoadedRecipe) -> str | None:
        """Have the child judge by a recipe; gives why it refuses, if it does.

        Raises:
            EngineDown: There is no child, or it was lost meanwhile.
        """
        if self.child is None:
            raise self.down()
        number = self.book.next_number()
        refused: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._exchanges[number] = (recipe, refused)
        self.child.send(Exchange(number, recipe.record()))
        return await refused

    def begin_closing(self) -> None:
        """Take no child into service any more."""
        self._is_closing, self.reason = True, _CLOSING

    def close(self) -> None:
        """Answer what is left, and give the shared memory back; the keeper must have ended."""
        self.on_lost(_CLOSING)
        self._slots.close()

    def ask_to_stop(self) -> None:
        """Tell the child to end."""
        if self.child is not None:
            self.child.send(Stop())

    async def spawn(self, options: EngineOptions) -> ChildProcess:
        """Start a child, for the keeper."""
        settings, bounds = self._settings, self._settings.bounds
        start = Start(
            bundle=str(settings.bundle.absolute()),
            precision=settings.chosen_precision,
            options=asdict(options),
            recipes=[recipe.record() for recipe in self.recipes.values()],
            batch=bounds.batch,
            batch_delay_s=bounds.batch_delay_s,
            slot_bytes=self._slots.size,
            pixels=bounds.pixels,
            decode_bytes=bounds.decode_bytes,
            engine_hook=settings.engine_hook,
        )
        return await ChildProcess.spawn(start, self._slots, self.book.slots)

    def on_ready(self, child: ChildProcess, ready: Ready) -> None:
        """Take a child into service, for the keeper."""
        self.child, self.ready = child, ready
        self.reason = _CLOSING if self._is_closing else None
        self._checked = self._moved = monotonic()
        self._check_asked, self._decoding_s = None, 0.0

    def on_lost(self, reason: str) -> None:
        """Answer everything that the lost child was to answer, for the keeper."""
        self.child, self._check_asked = None, None
        self.reason = _CLOSING if self._is_closing else reason
        for entry in self.book.clear():
            entry.stop_timer()
            if entry.started_at is None:
                entry.fail(self.down(reason))
            else:
                entry.succeed(outcome_of_loss(reason, entry.queue_us, self.engine))
        for _, refused in self._exchanges.values():
            if not refused.done():
                refused.set_exception(self.down(reason))
        self._exchanges.clear()

    def on_message(self, message: Message) -> None:
        """Take what the child says, for the keeper."""
        if isinstance(message, Beat):
            self._decoding_s = message.decoding_s
        elif isinstance(message, Started):
            self._moved = monotonic()
            self.book.start(message.numbers, self._moved)
        elif isinstance(message, Answer):
            self._answer(message)
        elif isinstance(message, Unreadable):
            self._free(message.number).fail(ImageError(message.reason))
        elif isinstance(message, Dropped):
            self._free(message.number)
        elif isinstance(message, Checked):
            self._checked, self._check_asked = monotonic(), None
        elif isinstance(message, Exchanged):
            self._exchange_done(message)
        self.feed()

    def on_tick(self, now: float) -> str | None:
        """Say whether the child must be ended, for the keeper; and have idle engines check their goldens."""
        patience, longest = self._settings.patience, self._longest_run()
        if self.book.is_running and now - self._moved > longest:
            return f"the engine did not answer within {longest:.1f} s"
        if self._decoding_s > patience.decode_s:
            return f"a picture was being decoded for {self._decoding_s:.0f} s"
        is_still = self.book.held and not self._decoding_s
        if is_still and now - self._moved > _STILL * longest:
            return f"the engine's process did nothing for {_STILL * longest:.0f} s"
        if self._check_asked is not None:
            is_late = now - self._check_asked > _STILL * longest
            return "the goldens were not answered" if is_late else None
        is_idle = self.book.is_empty and now - self._moved > patience.idle_s
        if is_idle and now - self._checked > patience.goldens_s and self.child is not None:
            self._check_asked = now
            self.child.send(Check())
        return None

    def _longest_run(self) -> float:
        if self._settings.patience.run_s is not None:
            return self._settings.patience.run_s
        golden = 0.0 if self.ready is None else self.ready.golden_s
        return max(_LEAST_RUN_S, _RUNS * golden * self._settings.bounds.batch)

    def _exchange_done(self, message: Exchanged) -> None:
        recipe, refused = self._exchanges.pop(message.number)
        if message.refused is None:
            self.recipes[recipe.name] = recipe
        if not refused.done():
            refused.set_result(message.refused)

    def _work(self, entry: Entry) -> Work:
        task, image = entry.task, entry.task.image
        if isinstance(image, bytes):
            self._slots.put_bytes(entry.slot, image)
            length, height, width = len(image), 0, 0
        else:
            self._slots.put_pixels(entry.slot, image)
            length, height, width = image.nbytes, image.shape[0], image.shape[1]
        entry.used = length
        is_line = task.priority == "line"
        return Work(
            entry.number, entry.slot, length, height, width, task.recipe, is_line, task.maps
        )

    def _answer(self, answer: Answer) -> None:
        self._moved = monotonic()
        entry = self.book.sent(answer.number)
        heat = None
        if answer.map_height and not entry.answer.done():
            heat = self._slots.map_of(entry.slot, answer.map_height, answer.map_width)
        self._free(answer.number)
        self.book.measure(answer.infer_us)
        entry.succeed(outcome_from_answer(answer, heat, entry.queue_us, self.engine))

    def _free(self, number: int) -> Entry:
        entry = self.book.free(number)
        self._slots.release(entry.slot, entry.used)
        return entry
