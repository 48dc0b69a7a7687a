"""Killed at any moment and resumed, a run ends with the bits of an unbroken one."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.training.loop.small_run import Listener, small_settings
from vipx.training.loop.run import BEST, LAST
from vipx.training.loop.state import STATE
from vipx.training.loop.training import train
from vipx.training.model.weights import read_pickle

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess

# Children of one server that has imported torch already: a start costs milliseconds instead of seconds.
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.training.loop.small_run", "vipx.training.loop.training"])
KILLS = 10
CHANGES: dict[str, dict[str, Any]] = {
    "data": {"held_out": ["ring"], "synthesize": 0.5},
    "optimiser": {"epochs": 40, "batch": 2},
}


class Reporting(Listener):
    """Sends a word at the start and whenever losses are told."""

    def __init__(self, channel: "Connection") -> None:
        super().__init__()
        self._channel = channel
        channel.send("ready")

    def step(self, done: int, steps: int, loss: float) -> None:
        self._channel.send(done)


def run(place: Path, out: Path, cache: Path | None, channel: "Connection") -> None:
    """Train in a child process, going on with what is there."""
    import torch

    torch.set_num_threads(1)
    options = {"cache": cache is not None, "cache_folder": str(cache), "checkpoint_every": 3}
    settings = small_settings(place, **CHANGES, run=options)
    train(settings, out, resume=True, watcher=Reporting(channel))


@contextmanager
def running(
    place: Path, out: Path, cache: Path | None
) -> Iterator[tuple["ForkServerProcess", "Connection"]]:
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=run, args=(place, out, cache, theirs))
    process.start()
    theirs.close()
    yield process, ours
    process.join()


def heard(channel: "Connection", words: int) -> bool:
    """Wait for so many words; says whether they came, or the run came to its end before."""
    with suppress(EOFError):
        for _ in range(words):
            channel.recv()
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("cached", [False, True])
def test_ten_kills_and_resumes_end_with_the_same_bits(tmp_path: Path, cached: bool) -> None:
    small_settings(tmp_path)
    caches = [tmp_path / "one", tmp_path / "two"] if cached else [None, None]
    with running(tmp_path, tmp_path / "unbroken", caches[0]) as (unbroken, _):
        pass
    assert unbroken.exitcode == 0
    out, chance = tmp_path / "killed", random.Random(4)
    reached: list[int] = []
    for number in range(KILLS):
        with running(tmp_path, out, caches[1]) as (process, channel):
            # Some kills fall on the preparation, the others on steps, saving and measuring.
            assert heard(channel, 1 if number % 4 == 3 else chance.randint(2, 4))
            time.sleep(chance.uniform(0, 0.2))
            process.kill()
        reached.append(_steps(out))
    assert len(set(reached)) > 3, "the kills fell on too few different states"
    with running(tmp_path, out, caches[1]) as (last, _):
        pass
    assert last.exitcode == 0
    _check(tmp_path / "unbroken", out)


def _steps(out: Path) -> int:
    """How many steps the state has that a killed run left."""
    path = out / STATE
    return int(read_pickle(path)["position"]["total"]) if path.exists() else 0  # type: ignore[index]


def _check(unbroken: Path, resumed: Path) -> None:
    for name in (LAST, BEST):
        expected = load_file(unbroken / name / "parameters.safetensors")
        found = load_file(resumed / name / "parameters.safetensors")
        assert expected.keys() == found.keys()
        assert all(np.array_equal(expected[key], found[key]) for key in expected)
    for name in ("metrics.csv", "validation.csv"):
        assert (unbroken / name).read_text() == (resumed / name).read_text()
