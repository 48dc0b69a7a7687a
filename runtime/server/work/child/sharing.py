"""One encoder for several sets of texts: on ONNX Runtime's CPU, where a recipe costs its heads alone."""

from collections.abc import Collection
from time import perf_counter
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from vipx.errors import EngineError
from vipx.runtime.engines.engine import (
    ANSWER,
    Engine,
    EngineDescription,
    EngineOptions,
    EngineRun,
    Model,
    Output,
    StageTimes,
)
from vipx.runtime.engines.onnxruntime import OnnxRuntimeEngine, Session, load_onnxruntime

_FEATURES: tuple[Output, ...] = ("global_feature", "patch_features")


class SharedEncoder:
    """Runs another engine's encoder, and heads of its own on constant texts.

    The numbers are bit for bit those of an engine opened with these texts: the same sessions see the
    same values.
    """

    def __init__(self, encoder: Engine, model: Model, options: EngineOptions) -> None:
        if model.texts is None:
            raise EngineError(f"{model.name}: sharing an encoder needs constant texts")
        self._encoder, self._texts = encoder, model.texts
        self._value = load_onnxruntime().OrtValue.ortvalue_from_numpy
        self._heads: Session | None = Session(model.heads, threads=options.threads)

    @staticmethod
    def works_on(engine: Engine) -> bool:
        """Tell whether an engine's encoder can be shared without a change of any bit."""
        return isinstance(engine, OnnxRuntimeEngine) and engine.description.device == "cpu"

    @property
    def description(self) -> EngineDescription:
        """Say what runs here."""
        return self._encoder.description

    def run(
        self, images: UInt8[ndarray, "batch height width 3"], wanted: Collection[Output] = ANSWER
    ) -> EngineRun:
        """Run on RGB images of the input size."""
        if self._heads is None:
            raise EngineError("this engine was closed; open the bundle again")
        encoded = self._encoder.run(images, _FEATURES)
        start = perf_counter()
        texts = np.repeat(self._texts[None], len(images), axis=0)
        given = {**encoded.arrays, "text_embeddings": texts}
        values: dict[str, Any] = {name: self._value(array) for name, array in given.items()}
        needed = [name for name in self._heads.outputs if name in wanted]
        if needed:
            values |= self._heads.run(values, needed)
        arrays: dict[str, ndarray] = {name: values[name].numpy() for name in wanted}
        heads = 1000 * (perf_counter() - start)
        before = encoded.times
        times = StageTimes(before.host_to_device, before.encoder, 0.0, heads, before.device_to_host)
        return EngineRun(arrays, times)

    def close(self) -> None:
        """Free the heads; the encoder belongs to the other engine."""
        self._heads = None
