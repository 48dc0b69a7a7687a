"""The child's life: open the engine, check the goldens, then answer until the server is gone."""

import ctypes
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from time import sleep

import numpy as np

from vipx.errors import EngineError, VipxError, short_reason
from vipx.runtime.engines.engine import EngineRun
from vipx.runtime.server.heap import ENGINE, bound_heap, fill_heap
from vipx.runtime.server.work.channel.line import Line
from vipx.runtime.server.work.channel.messages import (
    Answer,
    Beat,
    Cancel,
    Check,
    Checked,
    Dropped,
    Exchange,
    Exchanged,
    Failed,
    Message,
    Ready,
    Start,
    Started,
    Stop,
    Unreadable,
    Work,
)
from vipx.runtime.server.work.channel.slots import Slots
from vipx.runtime.server.work.child.desk import Desk, Job
from vipx.runtime.server.work.child.engines import Engines, Served
from vipx.runtime.server.work.child.judging import answer, fault, flaw
from vipx.runtime.server.work.child.preparation import Preparation
from vipx.runtime.server.work.recipes import LoadedRecipe
from vipx.runtime.server.work.task import wants_map
from vipx.verdict import Verdict

BEAT_S = 0.2
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Given:
    """A run without flaw, to be judged while the engine runs on."""

    jobs: list[Job]
    served: Served
    run: EngineRun


class Child:
    """One engine at work: this thread listens, one runs the engine, one judges what it gave, one beats."""

    def __init__(self, line: Line, slots: Slots, start: Start) -> None:
        self._line, self._slots, self._start = line, slots, start
        self._engines = Engines(start)
        self._desk = Desk(start.batch, start.batch_delay_s)
        self._given: SimpleQueue[Given] = SimpleQueue()
        taken = self._engines.bundle.manifest.input
        self._size = (taken.height, taken.width)
        self.preparation = Preparation(slots, self._desk, taken, start.pixels, self._refuse)

    def announce(self) -> None:
        """Tell the server that the goldens hold."""
        self._line.send(
            Ready(
                engine=self._engines.line,
                identity=self._engines.bundle.identity,
                height=self._size[0],
                width=self._size[1],
                golden_s=self._engines.golden_s,
                memory=_memory("VmRSS"),
            )
        )

    def listen(self) -> None:
        """Do what the server says until it says stop or is gone."""
        if self._start.decode_bytes is not None and " on cpu" in self._engines.line:
            _bound_memory(self._start.decode_bytes)
        for work in (self._run_for_ever, self._judge_for_ever):
            Thread(target=_or_die, args=(self._line, work), daemon=True).start()
        for message in self._line:
            if isinstance(message, Stop):
                return
            self._heed(message)

    def _heed(self, message: Message) -> None:
        if isinstance(message, Work):
            self.preparation.begin(message)
        elif isinstance(message, Cancel):
            if self._desk.forget(message.number):
                self._line.send(Dropped(message.number))
        elif isinstance(message, Exchange):
            self._line.send(Exchanged(message.number, self._exchange(message)))
        elif isinstance(message, Check):
            self._desk.ask_check()

    def _exchange(self, message: Exchange) -> str | None:
        try:
            self._engines.exchange(LoadedRecipe.from_record(message.recipe))
        except VipxError as error:
            return str(error)
        return None

    def _refuse(self, message: Dropped | Unreadable) -> None:
        self._line.send(message)

    def _run_for_ever(self) -> None:
        while True:
            jobs = self._desk.take()
            if jobs:
                self._run(jobs)
            else:
                self._engines.check()
                self._line.send(Checked())

    def _run(self, jobs: list[Job]) -> None:
        self._line.send(Started([job.work.number for job in jobs]))
        served = self._engines.served(jobs[0].work.recipe)
        images = jobs[0].image[None] if len(jobs) == 1 else np.stack([job.image for job in jobs])
        try:
            run = served.engine.run(images)
        except Exception as error:
            # A device's state is unknown now: this child ends, which answers ERROR, and another is checked.
            raise EngineError(f"the engine failed: {_line_of(error)}") from error
        wrong = flaw(run, len(jobs), self._size)
        if wrong is None:
            self._hand_on(Given(jobs, served, run))
        else:
            for job in jobs:
                self._line.send(fault(job, wrong))
            self._engines.check()

    def _hand_on(self, given: Given) -> None:
        """Have a run judged while the engine takes the next; where there is none, at once by this thread."""
        if self._desk.is_empty:
            self._judge(given)
        else:
            self._given.put(given)

    def _judge_for_ever(self) -> None:
        while True:
            self._judge(self._given.get())

    def _judge(self, given: Given) -> None:
        for place, job in enumerate(given.jobs):
            heat = given.run.arrays["anomaly_map"][place]
            self._answer(job, answer(job, given.served, given.run, place), heat)

    def _answer(self, job: Job, given: Answer, heat: np.ndarray) -> None:
        if given.fault is None and wants_map(job.work.maps, Verdict(given.verdict)):
            self._slots.put_map(job.work.slot, heat.astype(np.float32, copy=False))
            given = replace(given, map_height=heat.shape[0], map_width=heat.shape[1])
        self._line.send(given)


def main(control: int, memory: int, slots: int) -> None:
    """Serve on a connected socket and on shared memory, both given as descriptors; never returns."""
    _live_and_die_with_the_server()
    bound_heap(ENGINE)
    line = Line(socket.socket(fileno=control))
    _or_die(line, lambda: _serve(line, memory, slots))
    os._exit(0)


def _serve(line: Line, memory: int, slots: int) -> None:
    start = next(iter(line))
    assert isinstance(start, Start), start
    oldest: list[Callable[[], float]] = []
    Thread(target=_beat, args=(line, oldest), daemon=True).start()
    child = Child(line, Slots(slots, start.slot_bytes, memory), start)
    oldest.append(child.preparation.oldest_s)
    fill_heap(ENGINE)
    child.announce()
    child.listen()


def _beat(line: Line, oldest: list[Callable[[], float]]) -> None:
    while True:
        try:
            line.send(Beat(max((ask() for ask in oldest), default=0.0)))
        except OSError:
            os._exit(0)
        sleep(BEAT_S)


def _or_die(line: Line, work: Callable[[], None]) -> None:
    """Run a thread's work; whatever it raises is the child's last word."""
    try:
        work()
    except BaseException as error:
        kind = type(error) if isinstance(error, VipxError) else EngineError
        try:
            line.send(Failed(kind.__name__, _line_of(error)))
        finally:
            # No destructor of a broken engine may keep the process.
            os._exit(1)


def _line_of(error: BaseException) -> str:
    text = short_reason(error, 300)
    return text if isinstance(error, VipxError) and text else f"{type(error).__name__}: {text}"


def _live_and_die_with_the_server() -> None:
    # The server ends its child; a signal to the whole group must not end it first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.setswitchinterval(5e-4)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # Where memory runs out, the system is to take the child and not the server.
        Path("/proc/self/oom_score_adj").write_text("500")


def _bound_memory(more: int) -> None:
    if held := _memory("VmData"):
        resource.setrlimit(resource.RLIMIT_DATA, (held + more, held + more))


def _memory(name: str) -> int:
    """Read one of this process's sizes in bytes; 0 where the system does not tell."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return next(
        (int(row.split()[1]) * 1024 for row in text.splitlines() if row.startswith(name)), 0
    )
