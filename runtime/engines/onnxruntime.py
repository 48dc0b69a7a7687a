"""ONNX Runtime, on the CPU or with the CUDA provider."""

import platform
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from jaxtyping import UInt8
from numpy import ndarray

from vipx.bundle import onnxruntime_form_of
from vipx.errors import EngineError, short_reason
from vipx.onnx_graph import GraphPart
from vipx.runtime.engines.engine import (
    ANSWER,
    Device,
    EngineDescription,
    EngineOptions,
    EngineRun,
    Model,
    Output,
    Provider,
)
from vipx.runtime.engines.providers import Way, ask, library_of
from vipx.runtime.engines.providers import missing as missing_way
from vipx.runtime.engines.stages import Graphs, Stages

if TYPE_CHECKING:
    import onnxruntime

_CPU = Path("/proc/cpuinfo")


class OnnxRuntimeEngine:
    """A session of ONNX Runtime for each graph; what one graph gives stays on the device for the next.

    Raises:
        EngineError: ONNX Runtime is not installed, the device is not there, or a graph is refused.
    """

    def __init__(self, model: Model, options: EngineOptions) -> None:
        runtime = load_onnxruntime()
        default: Device = "cpu" if options.provider == "cuda" else "cuda"
        self._way = way = Way(options.device or default, options.provider)
        if (reason := missing_way(runtime, way)) is not None:
            raise EngineError(f"--device {way.device}: {reason}")
        if options.arithmetic != "f32":
            raise EngineError("ONNX Runtime has no --arithmetic bf16; OpenVINO has")
        self._model, self._runtime, self._threads = model, runtime, options.threads

        def opened(graph: Path) -> Session:
            return Session(graph, way, options.threads)

        as_stored = replace(way, precision=model.precision)
        graphs = Graphs(
            encoder=Session(_encoder_of(model, way.device), as_stored, options.threads),
            prompts=None if model.prompts is None else opened(model.prompts),
            heads=opened(model.heads),
        )
        self._stages = Stages(model.name, graphs, _Values(runtime, way.values), model.texts)

    @property
    def description(self) -> EngineDescription:
        """Say what runs here."""
        threads = "all" if self._threads is None else str(self._threads)
        return EngineDescription(
            engine="onnxruntime",
            version=self._runtime.__version__,
            device=self._way.device,
            precision=self._model.precision,
            detail={"threads": threads} if self._way.device == "cpu" else library_of(self._way),
        )

    def run(
        self, images: UInt8[ndarray, "batch height width 3"], wanted: Collection[Output] = ANSWER
    ) -> EngineRun:
        """Run on RGB images of the input size; the batch may have any length."""
        return self._stages.run(images, wanted)

    def close(self) -> None:
        """Free the sessions; closing twice does no harm."""
        self._stages.close()


class _Values:
    """Arrays as ONNX Runtime's values on one device."""

    def __init__(self, runtime: ModuleType, device: Device) -> None:
        self._runtime, self._device = runtime, device

    def put(self, array: ndarray) -> "onnxruntime.OrtValue":
        return self._runtime.OrtValue.ortvalue_from_numpy(array, self._device, 0)

    def take(self, value: "onnxruntime.OrtValue") -> ndarray:
        return value.numpy()


class Session:
    """One graph in ONNX Runtime, between values that stay on its device."""

    def __init__(self, graph: Path, way: Way = Way(), threads: int | None = None) -> None:  # noqa: B008 - frozen
        self._name, self._values = graph.name, way.values
        self._session = session = open_session(graph, way, threads)
        self.inputs = tuple(tensor.name for tensor in session.get_inputs())
        self.outputs = tuple(tensor.name for tensor in session.get_outputs())

    def run(self, values: dict[str, Any], outputs: Sequence[str] | None = None) -> dict[str, Any]:
        """Run the graph on values by input name; only the outputs that are named are computed."""
        names = self.outputs if outputs is None else outputs
        try:
            binding = self._session.io_binding()
            for name in self.inputs:
                binding.bind_ortvalue_input(name, values[name])
            for name in names:
                binding.bind_output(name, self._values)
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            return dict(zip(names, binding.get_outputs(), strict=True))
        except Exception as error:
            # onnxruntime's exception types are not public.
            raise EngineError(
                f"{self._name}: ONNX Runtime failed: {short_reason(error)}"
            ) from error


def _encoder_of(model: Model, device: Device) -> Path:
    """Give the encoder in ONNX Runtime's own operators where the bundle has one: they are the CPU's alone."""
    form = onnxruntime_form_of(model.encoder.name)
    here = device == "cpu" and model.encoder.parent == model.folder and form in model.sha256
    return model.folder / form if here else model.encoder


def missing(device: Device, provider: Provider = "cuda") -> str | None:
    """Say why ONNX Runtime cannot be tried on a device; None if it can."""
    try:
        runtime = load_onnxruntime()
    except EngineError as error:
        return str(error)
    return missing_way(runtime, Way(device, provider))


def load_onnxruntime() -> ModuleType:
    """Import ONNX Runtime, or say how to get it.

    Raises:
        EngineError: It is not installed or its libraries do not load.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError(
            f"ONNX Runtime cannot be used ({error}); install it: pip install 'vipx[cpu]' (or [gpu])"
        ) from error
    return onnxruntime


def open_session(
    graph: Path, way: Way, threads: int | None, part: GraphPart | None = None
) -> "onnxruntime.InferenceSession":
    """Start a session on a graph's file, or on a part that was cut out of it.

    Raises:
        EngineError: ONNX Runtime is not installed, or the device or the graph is refused.
    """
    runtime = load_onnxruntime()
    settings = _settings(runtime, threads)
    providers = ask(runtime, settings, way)
    try:
        if part is not None:
            weights = [runtime.OrtValue.ortvalue_from_numpy(each) for each in part.weights.values()]
            settings.add_external_initializers(list(part.weights), weights)
        source = graph if part is None else part.model
        session = runtime.InferenceSession(source, settings, providers=providers)
    except Exception as error:
        raise EngineError(
            f"{graph.name}: ONNX Runtime refuses the graph: {short_reason(error)}"
        ) from error
    # ONNX Runtime falls back to the CPU with no more than a log line when a provider does not start.
    if session.get_providers()[0] != way.name:
        raise EngineError(
            f"{graph.name}: {way.name} did not start; check the driver and CUDA libraries "
            "with `vipx doctor`, or pass --device cpu"
        )
    return session


def _settings(runtime: ModuleType, threads: int | None) -> "onnxruntime.SessionOptions":
    settings = runtime.SessionOptions()
    settings.log_severity_level = 3  # errors only: stdout and stderr belong to the caller
    settings.add_session_config_entry("session.x64quantprecision", _unsigned_weights())
    # Threads that spin after their work take the cores from the next graph's, and from the server's other
    # process: with them the demo took twice as long on two cores (docs/benchmarks/).
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Work is dealt in smaller and smaller blocks, so that no thread waits long for one that was held up: 3 %
    # of large encoders on two quiet cores, nothing of small ones (docs/benchmarks/).
    settings.add_session_config_entry("session.dynamic_block_base", "4")
    if threads is not None:
        settings.intra_op_num_threads = threads
    return settings


def _unsigned_weights() -> str:
    """Say whether weights in INT8 must be made unsigned: 1 for yes, as ONNX Runtime's setting wants it.

    Without VNNI, x86 adds products of unsigned and signed bytes in 16 bits, where they overflow. With it,
    unsigned weights only cost time: more than half of the speed (docs/benchmarks/). Where the CPU does not say
    what it has, right is better than fast.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return "0"
    try:
        told = _CPU.read_text(encoding="ascii", errors="replace")
    except OSError:
        return "1"
    return "0" if "vnni" in told else "1"
