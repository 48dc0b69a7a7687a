"""Several processes share a run's steps and reach the parameters of one."""

import os
import socket
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.training.loop.small_run import Listener, small_settings
from vipx.errors import UsageError
from vipx.training.loop.devices import place_from
from vipx.training.loop.run import LAST
from vipx.training.loop.training import train

CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.training.loop.small_run", "vipx.training.loop.training"])


def rank(place: Path, out: Path, number: int, world: int, port: int, changes: Any) -> None:
    """Be one of the processes that torchrun would start."""
    import torch

    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    listener = Listener()
    train(small_settings(place, **changes), out, resume=False, watcher=listener)
    assert bool(listener.lines) == (number == 0)


def trained(place: Path, out: Path, world: int, **changes: dict[str, Any]) -> dict[str, np.ndarray]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [
        CONTEXT.Process(target=rank, args=(place, out, number, world, port, changes))
        for number in range(world)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * world
    return load_file(out / LAST / "parameters.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"optimiser": {"batch": 4, "epochs": 3}},
        # 12 images in steps of 5: the last step has 2 for 3 processes.
        {"optimiser": {"batch": 5, "epochs": 2, "accumulate": 2}},
        {"run": {"cache": True}, "data": {"held_out": ["ring"]}},
    ],
)
def test_processes_reach_the_parameters_of_one(
    tmp_path: Path, changes: dict[str, dict[str, Any]]
) -> None:
    small_settings(tmp_path)
    for mask in (tmp_path / "data" / "bolt" / "ground_truth").glob("*/*"):
        mask.unlink()  # so that the processes' parts differ in what they know
    alone = trained(tmp_path, tmp_path / "alone", 1, **changes)
    for world in (2, 3):
        together = trained(tmp_path, tmp_path / f"together {world}", world, **changes)
        assert alone.keys() == together.keys()
        for name, value in alone.items():
            assert np.abs(value - together[name]).max() < 1e-5, name
    steps = [(tmp_path / name / "metrics.csv").read_text() for name in ("alone", "together 2")]
    ours, theirs = (np.loadtxt(text.splitlines(), delimiter=",", skiprows=1) for text in steps)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_torchruns_variables_are_taken_whole_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(UsageError, match="RANK"), place_from("cpu"):
        pass
