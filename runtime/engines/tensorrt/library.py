"""TensorRT's Python package: loaded late, and asked only for names that 10.3 to 11.4 all have.

Enum members are always named and never counted: their integers moved between 10 and 11 (docs/tensorrt.md).
"""

import os
import re
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

from vipx.errors import EngineError, VipxError
from vipx.runtime.cuda.choice import choose_backend
from vipx.runtime.cuda.driver import probe_cuda
from vipx.runtime.engines.engine import Device

_OLDEST = (10, 3)
# Before, NVIDIA calls strong typing incomplete, and the builder still takes precisions as hints.
_FULLY_TYPED = (10, 12)
_OUT_OF_MEMORY = re.compile(r"out of memory|outofmemory|insufficient memory", re.IGNORECASE)

# Says what a builder does: the phase's name, the steps that are done, and all of them.
Progress = Callable[[str, int, int], None]


def missing(device: Device) -> str | None:
    """Say why TensorRT cannot be tried on a device; None if it can. No object of TensorRT is made."""
    if device != "cuda":
        return "TensorRT needs --device cuda"
    if os.name == "nt":
        return "vipx runs TensorRT on Linux only"
    try:
        probe_cuda()
        choose_backend()
        load_tensorrt()
    except VipxError as error:
        return str(error)
    return None


def load_tensorrt() -> ModuleType:
    """Import TensorRT, or say how to get it.

    Raises:
        EngineError: It is not installed, its libraries do not load, or it is too old.
    """
    try:
        library = import_module("tensorrt")
    except ImportError as error:
        raise EngineError(
            f"TensorRT cannot be used ({error}); install it: pip install 'vipx[tensorrt]' (on a Jetson it "
            "comes with JetPack)"
        ) from error
    if version_of(library) < _OLDEST:
        raise EngineError(
            f"TensorRT {library.__version__} is too old; install 10.3 or newer (JetPack 6.1 or newer)"
        )
    return library


def version_of(library: ModuleType) -> tuple[int, ...]:
    """Give the version as numbers that can be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", library.__version__))


def may_type_weakly(library: ModuleType) -> bool:
    """Say whether this version has the old way to half precision, and may need it."""
    return version_of(library) < _FULLY_TYPED and hasattr(library.BuilderFlag, "FP16")


def network_flags(library: ModuleType, *, strong: bool) -> int:
    """Give the flags of a network; from 11 on every network is strongly typed and the flag means nothing."""
    if not strong or version_of(library) >= (11,):
        return 0
    return 1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def new_logger(library: ModuleType) -> Any:  # noqa: ANN401 - TensorRT has no types
    """Make a logger that keeps errors, in `errors`, and drops the rest: stderr belongs to the command."""

    class Errors(library.ILogger):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            library.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: object, message: str) -> None:
            if severity in (library.ILogger.ERROR, library.ILogger.INTERNAL_ERROR):
                self.errors.append(" ".join(message.split()))

    return Errors()


def new_monitor(library: ModuleType, progress: Progress, stopped: Callable[[], bool]) -> Any:  # noqa: ANN401
    """Make a progress monitor; TensorRT gives up at the next step once `stopped` says so."""

    class Monitor(library.IProgressMonitor):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            library.IProgressMonitor.__init__(self)
            self.steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str, steps: int) -> None:
            self.steps[phase] = steps
            progress(phase, 0, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            progress(phase, step + 1, self.steps.get(phase, 0))
            return not stopped()

        def phase_finish(self, phase: str) -> None:
            progress(phase, self.steps.get(phase, 0), self.steps.pop(phase, 0))

    return Monitor()


def failure(logger: Any, fallback: str) -> str:  # noqa: ANN401 - the logger above
    """Give the last words of TensorRT about a failure, on one line."""
    return "; ".join(logger.errors[-3:])[:600] or fallback


def out_of_memory(text: str) -> bool:
    """Say whether TensorRT's words mean that memory ran out."""
    return _OUT_OF_MEMORY.search(text) is not None
