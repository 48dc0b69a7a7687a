"""OpenVINO on Intel and AMD CPUs."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from vipx.errors import EngineError, short_reason
from vipx.runtime.engines.engine import (
    ANSWER,
    Arithmetic,
    Device,
    EngineDescription,
    EngineOptions,
    EngineRun,
    Model,
    Output,
)
from vipx.runtime.engines.mapped import release_mapped_pages
from vipx.runtime.engines.stages import Graphs, Stages

if TYPE_CHECKING:
    import openvino


class OpenVinoEngine:
    """A compiled model for each graph; what one graph gives is the next one's input without a copy.

    The tail is float32 whatever the encoder computes in: in bf16 it destroys maps (shared notes, perf.md C4).

    Raises:
        EngineError: OpenVINO is not installed, or a graph is refused.
    """

    def __init__(self, model: Model, options: EngineOptions) -> None:
        if (reason := missing(options.device or "cpu")) is not None:
            raise EngineError(reason)
        library = load_openvino()
        self._model, self._options, self._library = model, options, library
        core = library.Core()

        def opened(graph: Path, arithmetic: Arithmetic = "f32") -> Request:
            return Request(core, graph, arithmetic, options.threads)

        graphs = Graphs(
            encoder=opened(model.encoder, options.arithmetic),
            prompts=None if model.prompts is None else opened(model.prompts),
            heads=opened(model.heads),
        )
        self._stages = Stages(model.name, graphs, _Tensors(library), model.texts)

    @property
    def description(self) -> EngineDescription:
        """Say what runs here."""
        threads = self._options.threads
        return EngineDescription(
            engine="openvino",
            version=str(self._library.__version__).split("-")[0],
            device="cpu",
            precision=self._model.precision,
            arithmetic=self._options.arithmetic,
            detail={"threads": "all" if threads is None else str(threads)},
        )

    def run(
        self, images: UInt8[ndarray, "batch height width 3"], wanted: Collection[Output] = ANSWER
    ) -> EngineRun:
        """Run on RGB images of the input size; the batch may have any length."""
        return self._stages.run(images, wanted)

    def close(self) -> None:
        """Free the compiled models; closing twice does no harm."""
        self._stages.close()


class _Tensors:
    """Arrays as OpenVINO's tensors."""

    def __init__(self, library: ModuleType) -> None:
        self._library = library

    def put(self, array: ndarray) -> "openvino.Tensor":
        return self._library.Tensor(array)

    def take(self, value: "openvino.Tensor") -> ndarray:
        return value.data.copy()  # the next run writes there


class Request:
    """One compiled graph with its inference request, which owns the output tensors."""

    def __init__(
        self, core: "openvino.Core", graph: Path, arithmetic: Arithmetic, threads: int | None
    ) -> None:
        self._name, self._folder = graph.name, graph.parent
        settings = settings_of(arithmetic, threads)
        compiled = compile_graph(core, graph, settings, with_keys_by_rows)
        self._request = compiled.create_infer_request()
        self.inputs = tuple(port.get_any_name() for port in compiled.inputs)
        self.outputs = tuple(port.get_any_name() for port in compiled.outputs)
        self._batches: set[int] = set()
        release_mapped_pages(self._folder)

    def run(self, values: dict[str, Any], outputs: Sequence[str] | None = None) -> dict[str, Any]:
        """Run on tensors by input name; gives all outputs, which are valid until the next run."""
        try:
            for name in self.inputs:
                self._request.set_tensor(name, values[name])
            self._request.infer()
        except Exception as error:
            raise EngineError(f"{self._name}: OpenVINO failed: {short_reason(error)}") from error
        self._release(values[self.inputs[0]].shape[0])
        return {name: self._request.get_tensor(name) for name in self.outputs}

    def _release(self, batch: int) -> None:
        """Let go of the weights as they lie in the file: the first run of a batch has arranged its own."""
        if batch not in self._batches:
            self._batches.add(batch)
            release_mapped_pages(self._folder)


def settings_of(arithmetic: Arithmetic, threads: int | None) -> dict[str, Any]:
    """Give OpenVINO's own names and values of the options."""
    # Without the hint OpenVINO takes bf16 on its own where the CPU has it.
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": arithmetic,
        "PERFORMANCE_HINT": "LATENCY",
    }
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    return settings


def with_keys_by_rows(model: "openvino.Model") -> "openvino.Model":
    """Let attention multiply queries with keys as they lie, the second factor transposed.

    ONNX has no product of that kind, so graphs transpose the keys to (batch, heads, head, tokens) first.
    OpenVINO's fused attention takes the other three transpositions in and leaves this one, which cost 5 % of a
    ViT-L in INT8 (docs/benchmarks/). The products are the same, in the same order.
    """
    from openvino import opset13 as operators

    for node in model.get_ordered_ops():
        if node.get_type_name() != "Softmax":
            continue
        logits = node.input_value(0).get_node()
        keys = _keys_of(logits)
        if keys is not None:
            rows = operators.transpose(keys, operators.constant(np.array([0, 2, 1, 3], np.int32)))
            product = operators.matmul(logits.input_value(0), rows, False, True)
            logits.output(0).replace(product.output(0))
    return model


def _keys_of(logits: "openvino.Node") -> "openvino.Output | None":
    """Give the keys by (batch, tokens, heads, head) where they are transposed for a plain product."""
    if logits.get_type_name() != "MatMul" or logits.get_attributes()["transpose_b"]:
        return None
    transposed = logits.input_value(1).get_node()
    if transposed.get_type_name() != "Transpose":
        return None
    order = transposed.input_value(1).get_node()
    if order.get_type_name() != "Constant" or list(order.get_vector()) != [0, 2, 3, 1]:
        return None
    return transposed.input_value(0)


def compile_graph(
    core: "openvino.Core",
    graph: Path,
    settings: dict[str, Any],
    part: "Callable[[openvino.Model], openvino.Model] | None" = None,
) -> "openvino.CompiledModel":
    """Compile a graph's file for the CPU, or what `part` makes of it.

    Raises:
        EngineError: OpenVINO refuses the graph.
    """
    try:
        model = core.read_model(graph)
        return core.compile_model(model if part is None else part(model), "CPU", settings)
    except Exception as error:
        raise EngineError(
            f"{graph.name}: OpenVINO refuses the graph: {short_reason(error)}"
        ) from error


def missing(device: Device) -> str | None:
    """Say why OpenVINO cannot be tried on a device; None if it can."""
    if device != "cpu":
        return "OpenVINO runs on the CPU here"
    try:
        load_openvino()
    except EngineError as error:
        return str(error)
    return None


def load_openvino() -> ModuleType:
    """Import OpenVINO, or say how to get it.

    Raises:
        EngineError: It is not installed or its libraries do not load.
    """
    try:
        import openvino
    except ImportError as error:
        raise EngineError(
            f"OpenVINO cannot be used ({error}); install it: pip install 'vipx[openvino]'"
        ) from error
    return openvino
