"""OpenVINO on Intel and AMD CPUs."""

from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from vipx.errors import EngineError
from vipx.runtime.engines.engine import (
    ANSWER,
    Device,
    EngineDescription,
    EngineOptions,
    EngineRun,
    Model,
    Output,
    StageTimes,
)

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
        self._core: openvino.Core | None = core
        self._encoder = Request(library, core, model.encoder, options, options.arithmetic)
        self._prompts = (
            None if model.prompts is None else Request(library, core, model.prompts, options, "f32")
        )
        self._heads = Request(library, core, model.heads, options, "f32")

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
        if self._core is None:
            raise EngineError(f"{self._model.name}: this engine was closed; open the bundle again")
        marks = [perf_counter()]
        tensors: dict[str, Any] = {"image": self._library.Tensor(np.ascontiguousarray(images))}
        marks.append(perf_counter())
        tensors |= self._encoder.run(tensors)
        marks.append(perf_counter())
        if self._prompts is not None:
            tensors |= self._prompts.run(tensors)
        else:
            assert self._model.texts is not None, "a model has a prompts graph or texts"
            repeated = np.repeat(self._model.texts[None], len(images), axis=0)
            tensors["text_embeddings"] = self._library.Tensor(repeated)
        marks.append(perf_counter())
        if any(name in self._heads.outputs for name in wanted):
            tensors |= self._heads.run(tensors)
        marks.append(perf_counter())
        arrays: dict[str, ndarray] = {
            name: tensors[name].data.copy() for name in wanted
        }  # the next run writes there
        marks.append(perf_counter())
        spans = (1000 * (end - start) for start, end in pairwise(marks))
        return EngineRun(arrays, StageTimes(*spans))

    def close(self) -> None:
        """Free the compiled models; closing twice does no harm."""
        if self._core is not None:
            self._core = self._prompts = None
            del self._encoder, self._heads


class Request:
    """One compiled graph with its inference request, which owns the output tensors."""

    def __init__(
        self,
        library: ModuleType,
        core: "openvino.Core",
        graph: Path,
        options: EngineOptions,
        arithmetic: str,
    ) -> None:
        self._name = graph.name
        # Without the hint OpenVINO takes bf16 on its own where the CPU has it.
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": arithmetic,
            "PERFORMANCE_HINT": "LATENCY",
        }
        if options.threads is not None:
            settings["INFERENCE_NUM_THREADS"] = options.threads
        try:
            compiled = core.compile_model(core.read_model(graph), "CPU", settings)
        except Exception as error:
            raise EngineError(
                f"{graph.name}: OpenVINO refuses the graph: {_short(error)}"
            ) from error
        self._request = compiled.create_infer_request()
        self.inputs = tuple(port.get_any_name() for port in compiled.inputs)
        self.outputs = tuple(port.get_any_name() for port in compiled.outputs)

    def run(self, tensors: dict[str, Any]) -> dict[str, Any]:
        """Run on tensors by input name; the results are valid until the next run."""
        try:
            for name in self.inputs:
                self._request.set_tensor(name, tensors[name])
            self._request.infer()
        except Exception as error:
            raise EngineError(f"{self._name}: OpenVINO failed: {_short(error)}") from error
        return {name: self._request.get_tensor(name) for name in self.outputs}


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


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
