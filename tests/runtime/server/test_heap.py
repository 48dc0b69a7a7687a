"""The server's processes keep few heaps, whatever their threads do, and no more memory than was meant."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from vipx.runtime.server import heap
from vipx.runtime.server.heap import ENGINE, FRONT, HeapBounds
from vipx.runtime.server.settings import MEBIBYTE

glibc = pytest.mark.skipif(heap.glibc() is None, reason="the C library is not glibc")
# In a process of its own: what is set cannot be taken back. Threads that all live at once and take memory from
# malloc itself; then buffers as large as pictures, taken and freed.
PROGRAM = """
import ctypes, json, sys, threading
from pathlib import Path
from vipx.runtime.server import heap
from vipx.runtime.server.settings import MEBIBYTE

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
libc.free.argtypes = (ctypes.c_void_p,)
libc.fdopen.restype, libc.fdopen.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_char_p)
libc.malloc_info.argtypes = (ctypes.c_int, ctypes.c_void_p)

def resident():
    pages = Path("/proc/self/statm").read_text().split()
    return (int(pages[1]) - int(pages[2])) * 4096

def large(size):
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    return block

def work():
    together.wait()
    for _ in range(50):
        libc.free(libc.malloc(4096))
    together.wait()

if fields := json.loads(sys.argv[1]):
    bounds = heap.HeapBounds(**fields)
    assert heap.bound_heap(bounds)
    if sys.argv[2] == "filled":
        heap.fill_heap(bounds)
together = threading.Barrier(8)
threads = [threading.Thread(target=work) for _ in range(8)]
for one in threads: one.start()
for one in threads: one.join()
libc.free(large(20 * MEBIBYTE))  # unless it is told not to, malloc now takes such buffers from the heap
before, tops, kept = resident(), [], []
for count in (1, 15, 60):
    blocks = [large(2 * MEBIBYTE) for _ in range(count)]
    tops.append(resident())
    for block in blocks: libc.free(block)
    kept.append(resident() - before)

path = Path(sys.argv[3])
with path.open("wb") as file:
    stream = libc.fdopen(file.fileno(), b"w")
    assert libc.malloc_info(0, stream) == 0
    libc.fflush(ctypes.c_void_p(stream))
heaps = path.read_text().count("<heap nr")
print(json.dumps({"heaps": heaps, "most": tops[1] - before, "between": kept[1], "kept": kept[2]}))
"""

# Pictures with small pieces between them that stay: the heap's end is not free, so nothing goes back by itself.
PILE = """
import ctypes, json
from pathlib import Path
from vipx.runtime.server import heap
from vipx.runtime.server.settings import MEBIBYTE

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
libc.free.argtypes = (ctypes.c_void_p,)

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

assert heap.bound_heap(heap.FRONT)
before, pictures = resident(), []
for _ in range(40):
    pictures.append(libc.malloc(MEBIBYTE))
    ctypes.memset(pictures[-1], 1, MEBIBYTE)
    libc.malloc(4096)
for one in pictures: libc.free(one)
freed = resident() - before
heap.trim_heap()
print(json.dumps([freed, resident() - before]))
"""


def told(tmp_path: Path, bounds: HeapBounds | None, *, filled: bool = False) -> dict[str, int]:
    fields = {} if bounds is None else {name: getattr(bounds, name) for name in bounds.__slots__}
    given = [json.dumps(fields), "filled" if filled else "", str(tmp_path / "heaps.xml")]
    command = [sys.executable, "-c", PROGRAM, *given]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(output))


@glibc
def test_left_alone_there_are_many_heaps_that_keep_what_was_freed(tmp_path: Path) -> None:
    found = told(tmp_path, None)
    assert found["heaps"] > 2
    assert found["between"] > 20 * MEBIBYTE


@glibc
def test_the_front_has_two_heaps_and_gives_back_what_it_does_not_keep(tmp_path: Path) -> None:
    found = told(tmp_path, FRONT)
    assert found["heaps"] <= FRONT.heaps
    assert found["most"] > 20 * MEBIBYTE
    assert max(found["between"], found["kept"]) < FRONT.spare + MEBIBYTE


@glibc
def test_the_engines_process_has_one_heap_of_a_size_that_it_keeps(tmp_path: Path) -> None:
    """30 MiB at once are no more than it was filled with; of 120 it gives back what it does not keep."""
    found = told(tmp_path, ENGINE, filled=True)
    assert found["heaps"] == ENGINE.heaps == 1
    assert found["most"] < 2 * MEBIBYTE
    assert abs(found["kept"]) < 2 * MEBIBYTE
    assert told(tmp_path, ENGINE)["most"] > 8 * MEBIBYTE  # 20 of the 30 MiB were there before


@glibc
def test_trimming_gives_back_what_lies_between_pieces_that_are_used() -> None:
    command = [sys.executable, "-c", PILE]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    freed, trimmed = json.loads(output)
    assert freed > 38 * MEBIBYTE
    assert trimmed < 3 * MEBIBYTE


def test_the_heap_is_trimmed_again_and_again_until_the_block_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(heap, "_TRIM_S", 0.001)
    monkeypatch.setattr(heap, "trim_heap", lambda: seen.append(1))

    async def use() -> None:
        async with heap.trimmed_heap():
            while len(seen) < 3:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)  # the last one may have been under way
        ended = len(seen)
        await asyncio.sleep(0.05)
        assert len(seen) == ended

    asyncio.run(asyncio.wait_for(use(), 20))


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "glibc", lambda: None)
    assert not heap.bound_heap(FRONT)
    heap.fill_heap(FRONT)
    heap.trim_heap()
