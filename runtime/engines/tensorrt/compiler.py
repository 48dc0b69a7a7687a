"""Compiles one ONNX graph to a plan; `main` does so as a program, in a process of its own.

The program reads a request as one line of JSON from stdin and answers with lines that begin with `MARK`. It
ends at once when stdin closes, so that nothing is built for a parent that is gone; the line `stop` asks it to
give up.
"""

import hashlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from vipx.errors import EngineError, ResourceError, VipxError
from vipx.files import write_atomically
from vipx.runtime.cuda.driver import probe_cuda
from vipx.runtime.engines.tensorrt.library import (
    Progress,
    failure,
    load_tensorrt,
    network_flags,
    new_logger,
    new_monitor,
    out_of_memory,
)

Typing = Literal["strong", "weak"]
MARK = "\x1evipx "
MEMORY_ADVICE = (
    "add swap, close the desktop and other programs, pass a smaller --workspace or --batch, or take a smaller "
    "backbone (ViT-B-16)"
)


@dataclass(frozen=True, slots=True)
class Request:
    """What to compile.

    Attributes:
        graph: The ONNX file; its weights lie beside it.
        plan: Where the plan is written.
        batch: The one batch that the plan runs.
        typing: `strong` takes every type from the graph; `weak` is for TensorRT before 10.12 alone.
        workspace: Most bytes of the device that a layer may use for itself.
        level: How hard the builder tries, 0 to 5.
        timings: File of measured kernels, kept from build to build.
    """

    graph: str
    plan: str
    batch: int
    typing: Typing
    workspace: int
    level: int
    timings: str


def compile_plan(
    request: Request, progress: Progress, stopped: Callable[[], bool] = lambda: False
) -> None:
    """Compile a graph for the GPU of this machine, and write the plan.

    Raises:
        EngineError: There is no GPU or TensorRT, or TensorRT refuses the graph.
        ResourceError: Memory ran out.
    """
    probe_cuda()
    library = load_tensorrt()
    logger = new_logger(library)
    builder = library.Builder(logger)
    network = _parse(library, logger, builder, request)
    monitor = new_monitor(library, progress, stopped)  # TensorRT keeps no reference
    config = _configuration(library, builder, network, request)
    config.progress_monitor = monitor
    config.add_optimization_profile(_profile(builder, network, request))
    timings = config.create_timing_cache(read_timings(Path(request.timings)))
    config.set_timing_cache(timings, False)  # False: kernels measured on another GPU are refused
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _refusal(request, failure(logger, "stopped" if stopped() else "it does not say why"))
    Path(request.plan).write_bytes(memoryview(plan))
    _write_timings(Path(request.timings), bytes(config.get_timing_cache().serialize()))


def _parse(library: ModuleType, logger: Any, builder: Any, request: Request) -> Any:  # noqa: ANN401
    network = builder.create_network(network_flags(library, strong=request.typing == "strong"))
    parser = library.OnnxParser(network, logger)
    # From the file, not from bytes: weights beside the graph are found by its path.
    if not parser.parse_from_file(request.graph):
        raise _refusal(request, failure(logger, "the parser does not say why"))
    return network


def _configuration(library: ModuleType, builder: Any, network: Any, request: Request) -> Any:  # noqa: ANN401
    config = builder.create_builder_config()
    config.set_memory_pool_limit(library.MemoryPoolType.WORKSPACE, request.workspace)
    config.builder_optimization_level = request.level
    config.profiling_verbosity = library.ProfilingVerbosity.DETAILED
    # With TF32's ten bits of mantissa, float32 graphs would miss their parity bounds.
    config.clear_flag(library.BuilderFlag.TF32)
    if request.typing == "weak":
        _type_weakly(library, config, network)
    return config


def _type_weakly(library: ModuleType, config: Any, network: Any) -> None:  # noqa: ANN401
    """Ask for half precision everywhere but in normalisations, whose sums of squares overflow in it."""
    config.set_flag(library.BuilderFlag.FP16)
    config.set_flag(library.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    exact = (library.LayerType.NORMALIZATION, library.LayerType.REDUCE)
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type in exact:
            layer.precision = library.DataType.FLOAT
            for output in range(layer.num_outputs):
                layer.set_output_type(output, library.DataType.FLOAT)


def _profile(builder: Any, network: Any, request: Request) -> Any:  # noqa: ANN401
    """Pin every input to the batch: with a range, attention falls apart into three times the kernels."""
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        open_axis, *rest = tuple(tensor.shape)
        if open_axis not in (-1, request.batch) or -1 in rest:
            raise EngineError(
                f"{request.graph}: expected an open batch axis and no other in {tensor.name!r}, got "
                f"{tuple(tensor.shape)}; export the bundle again"
            )
        shape = (request.batch, *rest)
        profile.set_shape(tensor.name, shape, shape, shape)
    return profile


def _refusal(request: Request, reason: str) -> VipxError:
    if out_of_memory(reason):
        return ResourceError(
            f"{request.graph}: TensorRT ran out of memory ({reason}); {MEMORY_ADVICE}"
        )
    return EngineError(
        f"{request.graph}: TensorRT refuses the graph: {reason}; use --engine onnxruntime, or report this with "
        "`vipx doctor --json`"
    )


def read_timings(path: Path) -> bytes:
    """Read measured kernels; nothing if there are none or a byte was changed, since they are measured again."""
    try:
        content = path.read_bytes()
    except OSError:
        return b""
    digest, timings = content[:64], content[64:]
    return timings if hashlib.sha256(timings).hexdigest().encode() == digest else b""


def _write_timings(path: Path, timings: bytes) -> None:
    write_atomically(path, hashlib.sha256(timings).hexdigest().encode() + timings)


def main() -> None:
    """Compile what stdin asks for, and tell stdout."""
    # A Ctrl-C reaches the whole process group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    request = Request(**json.loads(sys.stdin.readline()))
    stop = threading.Event()
    threading.Thread(target=_listen, args=(stop,), daemon=True).start()
    try:
        compile_plan(request, _tell_progress, stop.is_set)
    except VipxError as error:
        _tell({"error": str(error), "resource": isinstance(error, ResourceError)})
    else:
        _tell({"done": True})


def _listen(stop: threading.Event) -> None:
    for line in sys.stdin:
        if line.strip() == "stop":
            stop.set()
    os._exit(1)


def _tell_progress(phase: str, step: int, steps: int) -> None:
    _tell({"phase": phase, "step": step, "steps": steps})


def _tell(record: dict[str, Any]) -> None:
    with suppress(BrokenPipeError):
        print(MARK + json.dumps(record), flush=True)


def request_line(request: Request) -> str:
    """Give a request as the program reads it."""
    return json.dumps(asdict(request)) + "\n"
