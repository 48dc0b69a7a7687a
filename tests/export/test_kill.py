"""Killed at any moment, an export leaves no bundle or a whole one."""

import random
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.golden_case import ROOT
from vipx.bundle import read_bundle
from vipx.errors import BundleError, UsageError
from vipx.folders import whole_folder

EXPORT = """
import sys
from pathlib import Path
from tests.tiny import noise_images, tiny_detector
from vipx.export import ExportOptions, bundle_from_detector
print("ready", flush=True)
bundle_from_detector(
    tiny_detector(), Path(sys.argv[1]), goldens=noise_images(2), options=ExportOptions(),
    report=lambda step: print(step, flush=True),
)
"""
LAST_STEP = "hashes and manifest"


def start(path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", EXPORT, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def wait_for(process: "subprocess.Popen[str]", step: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == step:
            return


@pytest.mark.slow
def test_twenty_kills_leave_no_bundle_or_a_whole_one(tmp_path: Path) -> None:
    path, chance = tmp_path / "x.vipx", random.Random(0)
    with start(path) as process:
        wait_for(process, "ready")
        begun = time.monotonic()
        assert process.wait() == 0
        whole = time.monotonic() - begun
    outcomes = set()
    for number in range(20):
        _remove(path)
        with start(path) as process:
            # Half of the kills fall anywhere, half while hashes, manifest and the final name are written.
            wait_for(process, "ready" if number % 2 else LAST_STEP)
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


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from vipx.folders import whole_folder\n"
        "with whole_folder(Path(sys.argv[1])) as f:\n"
        "    (f / 'half').write_text('x'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "b")], check=False)
    assert [p.name.startswith(".b.partial-") for p in tmp_path.iterdir()] == [True]
    with whole_folder(tmp_path / "b") as folder:
        (folder / "whole").write_text("y")
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


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
