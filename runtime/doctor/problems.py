"""What stands in the way on a machine, each with its remedy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vipx.manifest import Record
from vipx.runtime.bench.record import GpuRecord
from vipx.runtime.doctor.attempts import EngineCheck
from vipx.runtime.doctor.caches import CacheCheck

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)
# All of them install the one folder `onnxruntime`.
_ONNX_RUNTIMES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-training",
)
_TENSORRTS = ("tensorrt-cu12", "tensorrt-cu13")
_CUDA_BINDINGS = ("cuda-python", "cuda-bindings", "pycuda")
LOOKED_FOR = (*_ONNX_RUNTIMES, *_TENSORRTS, *_CUDA_BINDINGS)


class Problem(Record):
    """What is wrong, and what to do about it."""

    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Findings:
    """All that problems are found in.

    Attributes:
        python: Version, such as (3, 11).
        packages: Versions by name.
        checks: Of every engine.
        gpu: What the driver names.
        cache: Of built engines.
    """

    python: tuple[int, int]
    packages: Mapping[str, str]
    checks: Sequence[EngineCheck]
    gpu: GpuRecord | None = None
    cache: CacheCheck | None = None


def problems(found: Findings) -> tuple[Problem, ...]:
    """Name every problem, the gravest first."""
    return (*_engines(found), *_packages(found), *_python(found), *_cache(found))


def _engines(found: Findings) -> Iterator[Problem]:
    if not any(check.works for check in found.checks):
        yield Problem(
            problem="no engine works: " + "; ".join(c.detail for c in found.checks),
            remedy="pip install 'vipx[cpu]', or follow the reasons above",
        )
    for check in found.checks:
        if check.installed and not check.works:
            yield Problem(
                problem=f"{check.name}: is installed but does not work: {check.detail}",
                remedy="choose another with --engine and --device until it does",
            )
    on_gpu = any(check.works for check in found.checks if check.device == "cuda")
    if found.gpu is not None and not on_gpu:
        yield Problem(
            problem=f"{found.gpu.name} is here, and no engine uses it",
            remedy="pip install 'vipx[tensorrt]' and run `vipx build`, or pip install 'vipx[gpu]'",
        )


def _packages(found: Findings) -> Iterator[Problem]:
    runtimes = [name for name in _ONNX_RUNTIMES if name in found.packages]
    if len(runtimes) > 1:
        yield Problem(
            problem=f"{' and '.join(runtimes)} are installed together and overwrite each other's files",
            remedy=f"pip uninstall {' '.join(runtimes)}, then install the one that is wanted",
        )
    if all(name in found.packages for name in _TENSORRTS):
        yield Problem(
            problem=f"{' and '.join(_TENSORRTS)} are installed together",
            remedy="pip uninstall both, then install the one for this driver's CUDA",
        )
    tensorrt = _tensorrt(found.packages)
    if tensorrt is not None and _major(tensorrt) >= 11 and "onnxruntime-gpu" in found.packages:
        yield Problem(
            problem=(
                f"TensorRT {tensorrt} and onnxruntime-gpu {found.packages['onnxruntime-gpu']}: its TensorRT "
                "provider is linked with TensorRT 10, and both cannot be in one process"
            ),
            remedy="use --engine tensorrt, or ONNX Runtime's CUDA provider, and not its TensorRT provider",
        )
    if tensorrt is not None and not any(name in found.packages for name in _CUDA_BINDINGS):
        yield Problem(
            problem=f"TensorRT {tensorrt} is installed, and no binding to reach the GPU's memory",
            remedy="pip install cuda-python (or 'vipx[pycuda]' to build pycuda)",
        )


def _python(found: Findings) -> Iterator[Problem]:
    version = ".".join(map(str, found.python))
    if found.python < OLDEST_PYTHON:
        yield Problem(
            problem=f"Python {version} is too old for vipx and for the engines' packages",
            remedy="make the environment again with Python 3.10 to 3.13",
        )
    if found.python > NEWEST_PYTHON:
        yield Problem(
            problem=f"Python {version} is newer than what vipx was tested with",
            remedy="make the environment again with Python 3.10 to 3.13",
        )


def _cache(found: Findings) -> Iterator[Problem]:
    for fault in () if found.cache is None else found.cache.faults:
        yield Problem(
            problem=f"built engines: {fault}",
            remedy="it is not used; `vipx engines prune` removes it, `vipx build` makes it again",
        )


def _tensorrt(packages: Mapping[str, str]) -> str | None:
    names = ("tensorrt", *_TENSORRTS)
    return next((packages[name] for name in names if name in packages), None)


def _major(version: str) -> int:
    head = version.split(".")[0]
    return int(head) if head.isdecimal() else 0
