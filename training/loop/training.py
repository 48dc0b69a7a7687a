"""Trains a method on a frozen backbone: from settings to a folder with logs, state and checkpoints."""

from dataclasses import replace
from pathlib import Path

import torch.distributed as dist

from vipx.errors import UsageError
from vipx.files import write_atomically
from vipx.training.loop.devices import Place, place_from
from vipx.training.loop.preparation import Prepared, prepare
from vipx.training.loop.run import (
    BEST,
    LAST,
    Run,
    TrainingResult,
    Watcher,
    origin_of,
    save_checkpoint,
)
from vipx.training.loop.settings.configuration import Settings
from vipx.training.loop.settings.file import text_from_settings
from vipx.training.loop.state import STATE, Origin, RunState, read_state

RUN_FILE = "run.toml"


def train(settings: Settings, folder: Path, *, resume: bool, watcher: Watcher) -> TrainingResult:
    """Train into a folder, or go on with what an interrupted run left there.

    Several processes of torchrun share the steps of one run; the first one alone writes and speaks.

    Raises:
        VipxError: Something that the settings name cannot be used, or a run went on under other settings.
    """
    with place_from(settings.run.device) as place:
        say = watcher.say if place.first else silent
        if place.first:
            claim(settings, folder, resume=resume)
        place.wait()
        # What measures an ablation's rows is not needed for one run.
        prepared = prepare(replace(settings, evaluation=None), place, say)
        return trained(prepared, folder, resume=resume, watcher=watcher)


def trained(prepared: Prepared, folder: Path, *, resume: bool, watcher: Watcher) -> TrainingResult:
    """Train what was prepared into a folder that exists."""
    if not prepared.method.groups():
        return _written_at_once(prepared, folder, watcher)
    run = Run(prepared, folder, watcher)
    state = _state(prepared.place, folder, run.origin) if resume else None
    if prepared.place.first and resume:
        watcher.say(_resumed(state))
    return run.go(state)


def claim(settings: Settings, folder: Path, *, resume: bool) -> None:
    """Take the folder for this run; an earlier run's only to go on with it."""
    if not resume and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: already exists; pass --resume to go on, or choose another")
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / STATE).exists():
        write_atomically(folder / RUN_FILE, text_from_settings(settings).encode())


def _state(place: Place, folder: Path, origin: Origin) -> RunState | None:
    """Read the state in the first process and hand it to the others."""
    found: list[RunState | None] = [read_state(folder, origin) if place.first else None]
    if place.world > 1:
        dist.broadcast_object_list(found)
    return found[0]


def _resumed(state: RunState | None) -> str:
    if state is None:
        return "no state was saved yet: the run begins anew"
    position = state.position
    return f"going on in epoch {position.epoch + 1} behind step {position.total}"


def _written_at_once(prepared: Prepared, folder: Path, watcher: Watcher) -> TrainingResult:
    """Write the checkpoints of a method that has nothing to learn."""
    if prepared.place.first:
        watcher.say("this method has nothing to learn: its checkpoint is written as it is")
        for name in (LAST, BEST):
            save_checkpoint(prepared, folder / name, origin_of(prepared), 0)
    prepared.place.wait()
    return TrainingResult(folder, 0, 0.0, None, None)


def silent(line: str) -> None:
    """Say nothing: the first process speaks for all."""
