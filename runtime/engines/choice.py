"""Chooses an engine for this machine, and says why the better ones were passed over."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from vipx.errors import EngineError
from vipx.manifest import Precision
from vipx.runtime.engines import onnxruntime, openvino, tensorrt
from vipx.runtime.engines.engine import (
    ENGINES,
    Device,
    Engine,
    EngineName,
    EngineOptions,
    Model,
    Provider,
)

Open = Callable[[Model, EngineOptions], Engine]
Missing = Callable[[Device], str | None]


@dataclass(frozen=True, slots=True)
class EngineKind:
    """One engine library.

    Attributes:
        open: Opens a model; never on another device than the one that the options name.
        missing: Says why a device cannot be used, cheaply and without opening a model; None if it can be tried.
    """

    open: Open
    missing: Missing


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine on a device, and why it cannot be used here; None if it can."""

    engine: EngineName
    device: Device
    missing: str | None = None

    @property
    def name(self) -> str:
        """Name it for a person."""
        return f"{self.engine} on {self.device}"


KINDS: Mapping[EngineName, EngineKind] = MappingProxyType(
    {
        "tensorrt": EngineKind(tensorrt.TensorRtEngine, tensorrt.missing),
        "onnxruntime": EngineKind(onnxruntime.OnnxRuntimeEngine, onnxruntime.missing),
        "openvino": EngineKind(openvino.OpenVinoEngine, openvino.missing),
    }
)
# The fastest first. In float32 both CPU engines are equally fast and ONNX Runtime starts sooner; INT8 is faster
# in OpenVINO, which alone has bf16 attention beside it (docs/benchmarks/ has what was measured).
_ORDER: tuple[tuple[EngineName, Device], ...] = (
    ("tensorrt", "cuda"),
    ("onnxruntime", "cuda"),
    ("onnxruntime", "cpu"),
    ("openvino", "cpu"),
)
_INT8_ORDER = (*_ORDER[:2], ("openvino", "cpu"), ("onnxruntime", "cpu"))


def missing(engine: EngineName, device: Device, provider: Provider = "cuda") -> str | None:
    """Say why an engine cannot be tried on a device, cheaply and without opening a model; None if it can."""
    if provider != "cuda":
        return onnxruntime.missing(device, provider)
    return KINDS[engine].missing(device)


def candidates(options: EngineOptions, precision: Precision) -> tuple[Candidate, ...]:
    """List what the options allow, the fastest first, each with the reason why it cannot be used, if any."""
    order = _INT8_ORDER if precision == "int8" else _ORDER
    if options.provider != "cuda":
        order = (("onnxruntime", "cuda"),)
    return tuple(
        Candidate(engine, device, missing(engine, device, options.provider))
        for engine, device in order
        if options.engine in (None, engine) and options.device in (None, device)
    )


def choose(
    options: EngineOptions, precision: Precision, among: Collection[EngineName] = ENGINES
) -> Candidate:
    """Take the first engine that this machine has, among some or all that vipx knows.

    Raises:
        EngineError: Nothing that the options allow is here; every reason is named.
    """
    listed = [each for each in candidates(options, precision) if each.engine in among]
    for candidate in listed:
        if candidate.missing is None:
            return candidate
    if not listed:
        raise EngineError(f"{options.engine} does not run on {options.device}; see `vipx doctor`")
    reasons = "; ".join(f"{one.name}: {one.missing}" for one in listed)
    raise EngineError(f"no engine can be used: {reasons}")


def open_engine(model: Model, options: EngineOptions = EngineOptions()) -> Engine:  # noqa: B008 - frozen
    """Open a model on the engine and device that the options name, or on the best that is here.

    An engine that was chosen and does not start is an error; it is not replaced by the next one.

    Raises:
        EngineError: The engine, a package or the device is not there, or refuses a graph.
    """
    chosen = choose(options, model.precision)
    exact = replace(options, engine=chosen.engine, device=chosen.device)
    return KINDS[chosen.engine].open(model, exact)
