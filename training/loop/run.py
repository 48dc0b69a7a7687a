"""A run between its first step and its last: steps, logs, measures, checkpoints, state."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import JsonValue
from torch import Tensor

from vipx.errors import UsageError
from vipx.training.loop.examples import content_sha256, epoch_order
from vipx.training.loop.preparation import Prepared
from vipx.training.loop.records import Records
from vipx.training.loop.settings.file import record_from_settings
from vipx.training.loop.state import Origin, Position, RunState, write_state
from vipx.training.loop.step import TERMS, Slice, Stepper, slices
from vipx.training.loop.validation import measured_on
from vipx.training.methods.checkpoints import save_method

LAST, BEST = "last.ckpt", "best.ckpt"
LOG_EVERY = 10
"""Steps whose losses are fetched from the device at once, if they are quick."""

LOG_SECONDS = 1.0
"""A process that is alone fetches losses at least this often."""


@runtime_checkable
class Watcher(Protocol):
    """Who is told how a run goes; the first process alone tells."""

    def say(self, line: str) -> None:
        """Hear one line that a user should know."""

    def step(self, done: int, steps: int, loss: float) -> None:
        """Hear that so many of all steps are done, and the last one's loss."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a run came to.

    Attributes:
        folder: The run's folder.
        steps: Steps of all epochs.
        seconds: Time of this process's part of them.
        loss: Of the last step; None where nothing was learned.
        best: The best measure of the held-out categories; None without them.
    """

    folder: Path
    steps: int
    seconds: float
    loss: float | None
    best: float | None

    def record(self) -> dict[str, JsonValue]:
        """Give the result as plain data."""
        return {
            "folder": str(self.folder),
            "last": str(self.folder / LAST),
            "best": str(self.folder / BEST),
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
            "loss": self.loss,
            "held_out": self.best,
        }


class Run:
    """A run between its first step and its last."""

    def __init__(self, prepared: Prepared, folder: Path, watcher: Watcher) -> None:
        settings = prepared.settings
        self.origin = origin_of(prepared)
        self._prepared = prepared
        self._settings = settings
        self._place = prepared.place
        self._folder = folder
        self._watcher = watcher
        self._stepper = Stepper(
            prepared.method, prepared.backbone, settings.optimiser, prepared.place
        )
        self._position = Position()
        self._pending: dict[int, Float[Tensor, terms]] = {}
        self._loss: float | None = None
        self._logged = time.monotonic()
        per_epoch = math.ceil(len(prepared.examples.learned) / settings.optimiser.batch)
        self._steps = per_epoch * settings.optimiser.epochs

    def go(self, state: RunState | None) -> TrainingResult:
        """Run all epochs that are left, from a state or from the beginning."""
        if state is not None:
            self._position = state.position
            self._prepared.method.load_state_dict(state.method)
            self._stepper.restore(state.stepper)
        began = time.monotonic()
        if self._place.first:
            position, run = self._position, self._settings.run
            with Records(
                self._folder, position.logged, position.total, tensorboard=run.tensorboard
            ) as records:
                self._epochs(records)
        else:
            self._epochs(None)
        seconds = time.monotonic() - began
        self._place.wait()
        position = self._position
        return TrainingResult(self._folder, position.total, seconds, self._loss, position.best)

    def _epochs(self, records: Records | None) -> None:
        for epoch in range(self._position.epoch, self._settings.optimiser.epochs):
            self._epoch(epoch, records)
            self._close(epoch, records)
        if records is not None:
            self._checkpoint(LAST)
            if self._position.best is None:
                self._checkpoint(BEST)

    def _epoch(self, epoch: int, records: Records | None) -> None:
        optimiser = self._settings.optimiser
        order = epoch_order(self._prepared.examples.learned, epoch, self._settings)
        rest = order[self._position.step * optimiser.batch :]
        parts = list(slices(rest, optimiser, self._place))
        batches = self._prepared.encoder.batches(part.examples for part in parts)
        for part, batch in zip(parts, batches, strict=True):
            self._count(part, self._stepper.take(part, batch))
            if part.last:
                self._advance(records)

    def _count(self, part: Slice, terms: Float[Tensor, "terms"]) -> None:
        number = self._position.total + 1
        self._pending[number] = terms if part.first else self._pending[number] + terms

    def _advance(self, records: Records | None) -> None:
        position = self._position
        total = position.total + 1
        self._position = replace(position, step=position.step + 1, total=total)
        # Several processes must agree on when, so there the clock has no say.
        slow = self._place.world == 1 and time.monotonic() - self._logged > LOG_SECONDS
        if slow or total % LOG_EVERY == 0:
            self._log(records)
        if total % self._settings.run.checkpoint_every == 0:
            self._save(records)

    def _log(self, records: Records | None) -> None:
        """Fetch, add up over the processes and write down the losses of the last steps."""
        if not self._pending:
            return
        table = self._place.summed(torch.stack(list(self._pending.values()))).tolist()
        rows = dict(zip(self._pending, table, strict=True))
        self._pending = {}
        self._logged = time.monotonic()
        _check_finite(rows)
        self._loss = table[-1][0]
        if records is not None:
            records.steps(self._position.epoch + 1, rows)
            self._watcher.step(self._position.total, self._steps, table[-1][0])

    def _save(self, records: Records | None) -> None:
        """Save the state; features and logs first, so that what it counts on is there."""
        self._log(records)
        self._prepared.encoder.flush()
        if records is not None:
            self._position = replace(self._position, logged=records.lengths())
            state = RunState(
                self._position, self._prepared.method.state_dict(), self._stepper.state()
            )
            write_state(self._folder, state, self.origin)

    def _close(self, epoch: int, records: Records | None) -> None:
        """End an epoch: logs, measures, checkpoints, state."""
        self._log(records)
        self._prepared.encoder.flush()
        self._place.wait()
        self._prepared.encoder.refresh()
        if records is not None:
            self._measure(epoch, records)
            self._checkpoint(LAST)
        self._place.wait()
        self._position = replace(self._position, epoch=epoch + 1, step=0)
        self._save(records)

    def _measure(self, epoch: int, records: Records) -> None:
        """Measure the held-out categories, and keep the best parameters."""
        examples, run = self._prepared.examples.held_out, self._settings.run
        due = (epoch + 1) % run.validate_every == 0 or epoch + 1 == self._settings.optimiser.epochs
        if not examples or not due:
            return
        measured = measured_on(examples, self._prepared)
        records.measures(epoch + 1, self._position.total, measured)
        goal, best = measured.goal, self._position.best
        if goal is not None and (best is None or goal > best):
            self._position = replace(self._position, best=goal)
            self._checkpoint(BEST)
        shown = "undefined" if goal is None else f"{goal:.4f}"
        self._watcher.say(f"epoch {epoch + 1}: held-out image AUROC and AUPRO, their mean {shown}")

    def _checkpoint(self, name: str) -> None:
        save_checkpoint(self._prepared, self._folder / name, self.origin, self._position.total)


def origin_of(prepared: Prepared) -> Origin:
    """Collect what a run's numbers follow from."""
    settings = prepared.settings
    examples = (*prepared.examples.learned, *prepared.examples.held_out)
    return Origin(
        settings=record_from_settings(settings),
        backbone=prepared.backbone.identity.sha256,
        images=content_sha256(examples),
        world=prepared.place.world,
    )


def _check_finite(rows: dict[int, Sequence[float]]) -> None:
    for step, terms in rows.items():
        for name, value in zip(TERMS, terms, strict=True):
            if not math.isfinite(value):
                raise UsageError(
                    f"step {step}: {name} is {value}; lower optimiser.rates or take precision fp32"
                )


def save_checkpoint(prepared: Prepared, path: Path, origin: Origin, steps: int) -> None:
    """Write the method's parameters as they are now, with how they were made."""
    training: dict[str, JsonValue] = {
        "program": "vipx train",
        "settings": {name: dict(part) for name, part in origin.settings.items()},
        "images": len(prepared.examples.learned),
        "content": origin.images,
        "steps": steps,
    }
    save_method(path, prepared.method, prepared.backbone, training=training, overwrite=True)
