"""PNGs from a process of their own: the same bytes, and no picture lost with it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.runtime.server.storage.test_frames import frame, framed
from vipx.runtime.server.storage.png import frame_png
from vipx.runtime.server.storage.writing import png_process
from vipx.runtime.server.storage.writing.frames import FrameKeeper, Written
from vipx.runtime.server.storage.writing.png_process import PngProcess

# Encodes one frame and ends as if it had been killed; says which process made the PNG.
PARENT = """
import os, sys
import numpy as np
from vipx.runtime.server.storage.writing.png_process import PngProcess
encoder = PngProcess()
encoder.encode(np.zeros((4, 4, 3), np.uint8))
print(encoder.pid, flush=True)
os._exit(0)
"""


@pytest.fixture
def encoder() -> Iterator[PngProcess]:
    made = PngProcess()
    yield made
    made.close()


def test_frames_of_any_size_and_views_become_the_same_png_as_here(encoder: PngProcess) -> None:
    frames = [frame(1), frame(2, 1, 1), frame(3, 700, 900), frame(4)[::-1, ::2]]
    for each in frames:
        assert encoder.encode(each) == frame_png(each)
    assert encoder.pid is not None


@pytest.mark.skipif(sys.platform != "linux", reason="reads another process's niceness")
def test_it_yields_to_everything_and_outlives_the_signals_that_end_a_server(
    encoder: PngProcess,
) -> None:
    encoder.encode(frame())
    process = encoder.pid
    assert process is not None
    assert os.getpriority(os.PRIO_PROCESS, process) == 19
    assert os.sched_getscheduler(process) == os.SCHED_IDLE
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(process, number)
    assert encoder.encode(frame(1)) == frame_png(frame(1))
    assert encoder.pid == process


def test_a_lost_process_is_an_error_once_and_then_there_is_another(encoder: PngProcess) -> None:
    encoder.encode(frame())
    before = encoder.pid
    encoder.kill()
    with pytest.raises(OSError, match=r"ended|pipe|reset"):
        encoder.encode(frame(5, 2000, 2000))
    assert encoder.encode(frame(6)) == frame_png(frame(6))
    assert encoder.pid != before


def test_a_process_that_hangs_is_an_error_once_and_then_there_is_another(
    encoder: PngProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(png_process, "_PATIENCE_S", 0.2)
    channel = encoder._started()
    before = encoder.pid
    assert before is not None
    assert channel.gettimeout() == 0.2
    os.kill(before, signal.SIGSTOP)
    with pytest.raises(OSError, match="timed out"):
        encoder.encode(frame())
    assert not lives(before)
    monkeypatch.undo()
    assert encoder.encode(frame()) == frame_png(frame())


def test_it_ends_with_the_server_however_that_ends() -> None:
    output = subprocess.run([sys.executable, "-c", PARENT], check=True, capture_output=True).stdout
    end = time.monotonic() + 60
    while lives(int(output)):
        assert time.monotonic() < end
        time.sleep(0.01)


def lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def read(root: Path, written: Written) -> np.ndarray:
    with Image.open(root / written.path) as kept:
        return np.asarray(kept)


def test_a_picture_whose_process_is_lost_is_made_here_and_said_so(
    tmp_path: Path, encoder: PngProcess, caplog: pytest.LogCaptureFixture
) -> None:
    encoder.encode(frame())
    encoder.kill()
    with ThreadPoolExecutor(1) as pool:
        keeper = FrameKeeper(tmp_path, pool, encoder)
        for seq in range(3):
            keeper.offer(framed(seed=seq), seq)
            keeper.begin()
        written: list[Written] = []
        end = time.monotonic() + 60
        while len(written) < 3:
            assert time.monotonic() < end
            written += keeper.take()
            time.sleep(0.01)
        keeper.finish()
    for one in written:
        assert np.array_equal(read(tmp_path, one), frame(one.seq))
    assert keeper.lost == 0
    assert [line.message.split(":")[0] for line in caplog.records] == [
        "a picture is made in the server itself"
    ]
    assert encoder.pid is None


def test_an_end_does_not_wait_for_a_process_that_hangs(
    tmp_path: Path, encoder: PngProcess, caplog: pytest.LogCaptureFixture
) -> None:
    encoder.encode(frame())
    assert encoder.pid is not None
    os.kill(encoder.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        keeper = FrameKeeper(tmp_path, pool, encoder)
        for seq in range(3):
            keeper.offer(framed(seed=seq), seq)
            keeper.begin()
        ending = threading.Thread(target=keeper.finish, daemon=True)
        ending.start()
        ending.join(60)
        assert not ending.is_alive()
    written = keeper.take()
    assert [one.seq for one in written] == [0, 1, 2]
    assert all(np.array_equal(read(tmp_path, one), frame(one.seq)) for one in written)
    assert not caplog.records
