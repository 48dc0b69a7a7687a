"""Killed at any moment, an export leaves no bundle or a whole one."""

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.tiny import noise_images, tiny_detector
from vipx.bundle import read_bundle
from vipx.errors import BundleError, UsageError
from vipx.export import ExportOptions, bundle_from_detector
from vipx.folders import whole_folder

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess

LAST_STEP = "hashes and manifest"
# Children of one server that has imported torch already: a start costs milliseconds instead of seconds.
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.tiny", "vipx.export"])


def export(path: Path, steps: "Connection") -> None:
    """Run one export in a child process; tells its steps."""
    steps.send("ready")
    bundle_from_detector(
        tiny_detector(), path, goldens=noise_images(2), options=ExportOptions(), report=steps.send
    )


@contextmanager
def exporting(path: Path) -> Iterator[tuple["ForkServerProcess", "Connection"]]:
    """Start an export, and see it ended."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=export, args=(path, theirs))
    process.start()
    theirs.close()
    yield process, ours
    process.join()


def wait_for(steps: "Connection", step: str) -> None:
    with suppress(EOFError):
        while steps.recv() != step:
            pass


@pytest.mark.slow
def test_twenty_kills_leave_no_bundle_or_a_whole_one(tmp_path: Path) -> None:
    path, chance = tmp_path / "x.vipx", random.Random(0)
    with exporting(path) as (process, steps):
        wait_for(steps, "ready")
        begun = time.monotonic()
        process.join()
        whole = time.monotonic() - begun
    assert process.exitcode == 0
    outcomes = set()
    for number in range(20):
        shutil.rmtree(path, ignore_errors=True)
        with exporting(path) as (process, steps):
            # Half of the kills fall anywhere, half while hashes, manifest and the final name are written.
            wait_for(steps, "ready" if number % 2 else LAST_STEP)
            time.sleep(chance.uniform(0, whole if number % 2 else 0.08))
            process.kill()
        outcomes.add(_outcome(path))
    assert outcomes <= {"none", "whole"}
    assert "none" in outcomes


def _outcome(path: Path) -> str:
    try:
        read_bundle(path)
    except BundleError:
        return "broken" if path.exists() else "none"
    return "whole"


@pytest.mark.parametrize("name", ["b", "part[1]*", "n" * 250])
def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path, name: str) -> None:
    code = (
        "import os, sys; from pathlib import Path; from vipx.folders import whole_folder\n"
        "with whole_folder(Path(sys.argv[1])) as f:\n"
        "    (f / 'half').write_text('x'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=False)
    assert [p.name.startswith(f".{name[:40]}.partial-") for p in tmp_path.iterdir()] == [True]
    with whole_folder(tmp_path / name) as folder:
        (folder / "whole").write_text("y")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_of_two_writers_the_slower_one_is_refused(tmp_path: Path) -> None:
    with ExitStack() as slower:
        first = slower.enter_context(whole_folder(tmp_path / "b"))
        (first / "a").write_text("1")
        with whole_folder(tmp_path / "b") as second:
            (second / "a").write_text("2")
        with pytest.raises(UsageError, match="meanwhile"):
            slower.close()
    assert (tmp_path / "b" / "a").read_text() == "2"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_error_leaves_nothing_and_overwriting_keeps_the_old_until_the_end(
    tmp_path: Path,
) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old").write_text("old")
    with pytest.raises(ValueError, match="stop"), whole_folder(tmp_path / "b", overwrite=True):
        raise ValueError("stop")
    assert (tmp_path / "b" / "old").read_text() == "old"
    with whole_folder(tmp_path / "b", overwrite=True) as folder:
        assert (tmp_path / "b" / "old").exists()
        (folder / "new").write_text("new")
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["new"]
    assert len(list(tmp_path.iterdir())) == 1
