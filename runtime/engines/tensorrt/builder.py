"""Runs the compiler in a process of its own, so that what kills it is an error here and no end."""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from vipx.errors import EngineError, ResourceError
from vipx.runtime.engines.tensorrt.compiler import MARK, MEMORY_ADVICE, Request, request_line
from vipx.runtime.engines.tensorrt.library import Progress

Compile = Callable[[Request, Progress], None]
# Without the working folder in its path: what lies there is no part of vipx.
PROGRAM: tuple[str, ...] = (
    "-c",
    "import sys; sys.path = [path for path in sys.path if path]; "
    "from vipx.runtime.engines.tensorrt.compiler import main; main()",
)
_PATIENCE = 10.0  # seconds from asking the compiler to stop until it is killed


def compile_in_child(
    request: Request, progress: Progress, program: Sequence[str] = PROGRAM
) -> None:
    """Compile a graph in a child process; a Ctrl-C stops the child first.

    Raises:
        EngineError: TensorRT refuses the graph, or crashed.
        ResourceError: Memory ran out; also where the system killed the child for it.
    """
    with tempfile.TemporaryFile() as log, _started(program, log.fileno()) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        with suppress(BrokenPipeError):  # it ended before it read; its exit code says why
            child.stdin.write(request_line(request))
            child.stdin.flush()
        try:
            finished = _follow(child.stdout, request, progress)
            child.stdin.close()
            child.wait()
        except KeyboardInterrupt:
            _stop(child)
            raise
        if not finished:
            log.seek(0)
            last = " ".join(log.read().decode(errors="replace").split())[-300:]
            raise _end(child.returncode, request.graph, last)


@contextmanager
def _started(program: Sequence[str], log: int) -> Iterator["subprocess.Popen[str]"]:
    child = subprocess.Popen(
        [sys.executable, *program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            with suppress(OSError):  # what was still to be written
                pipe.close()


def _follow(lines: Iterable[str], request: Request, progress: Progress) -> bool:
    """Read what the child tells until it ends; say whether the plan is done."""
    for line in lines:
        start = line.find(MARK)
        if start < 0:
            continue  # libraries print too
        record = json.loads(line[start + len(MARK) :])
        if "error" in record:
            raise (ResourceError if record["resource"] else EngineError)(record["error"])
        if "done" in record:
            return True
        progress(record["phase"], record["step"], record["steps"])
    return False


def _stop(child: "subprocess.Popen[str]") -> None:
    """Ask for an end, which TensorRT grants between two steps; `_started` kills what does not heed it."""
    assert child.stdin is not None
    with suppress(OSError, ValueError):
        child.stdin.write("stop\n")
        child.stdin.flush()
    with suppress(subprocess.TimeoutExpired):
        child.wait(_PATIENCE)


def _end(code: int, graph: str, last: str) -> EngineError | ResourceError:
    if code == -signal.SIGKILL:
        return ResourceError(
            f"{graph}: the builder was killed, most likely because memory ran out; {MEMORY_ADVICE}"
        )
    crash = code < 0
    what = f"crashed with {signal.Signals(-code).name}" if crash else f"ended with code {code}"
    last = f" ({last})" if last else ""
    return EngineError(
        f"{graph}: the builder {what}{last}; check driver and TensorRT with `vipx doctor`, or use "
        "--engine onnxruntime"
    )
