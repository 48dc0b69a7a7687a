"""Opens a probe in the engine that the options name, or in the best one that can look inside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from vipx.errors import UsageError
from vipx.runtime.engines.choice import Candidate, choose
from vipx.runtime.engines.engine import EngineName, EngineOptions, Model
from vipx.runtime.engines.probes.onnxruntime import OnnxRuntimeProbe
from vipx.runtime.engines.probes.openvino import OpenVinoProbe
from vipx.runtime.engines.probes.probe import Probe

OpenProbe = Callable[[Model, Sequence[str], EngineOptions], Probe]
PROBES: Mapping[EngineName, OpenProbe] = MappingProxyType(
    {"onnxruntime": OnnxRuntimeProbe, "openvino": OpenVinoProbe}
)


def choose_probe(options: EngineOptions) -> Candidate:
    """Take the first engine of this machine that can look inside an encoder.

    Raises:
        UsageError: The options name an engine that cannot, or another arithmetic than float32.
        EngineError: Nothing that the options allow is here; every reason is named.
    """
    if options.engine not in (None, *PROBES):
        raise UsageError(
            f"--engine {options.engine}: does not show what is inside a graph; pass --engine "
            f"{' or '.join(PROBES)}"
        )
    if options.arithmetic != "f32":
        raise UsageError(
            f"--arithmetic {options.arithmetic}: what is inside is looked at in f32; leave it out"
        )
    return choose(options, "fp32", tuple(PROBES))


def open_probe(model: Model, tensors: Sequence[str], options: EngineOptions) -> Probe:
    """Open the float32 encoder of a model as far as some of its inner tensors.

    Raises:
        UsageError: The options name what cannot look inside.
        EngineError: The engine, a package or the device is not there, or refuses the graph.
        BundleError: The encoder computes no such tensor.
    """
    chosen = choose_probe(options)
    exact = replace(options, engine=chosen.engine, device=chosen.device)
    return PROBES[chosen.engine](model, tensors, exact)
