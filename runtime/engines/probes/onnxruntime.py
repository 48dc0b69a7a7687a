"""Inner tensors by ONNX Runtime, on the CPU or with the CUDA provider."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from jaxtyping import UInt8
from numpy import ndarray

from vipx.errors import EngineError, short_reason
from vipx.onnx_graph import cut_graph
from vipx.runtime.engines.engine import EngineOptions, Model
from vipx.runtime.engines.mapped import release_mapped_pages
from vipx.runtime.engines.onnxruntime import open_session
from vipx.runtime.engines.probes.probe import Probed
from vipx.runtime.engines.providers import Way

if TYPE_CHECKING:
    import onnxruntime


class OnnxRuntimeProbe:
    """A session on the part of the encoder that the tensors take; no file is written for it.

    Raises:
        EngineError: ONNX Runtime is not installed, the device is not there, or the graph is refused.
        BundleError: The encoder computes no such tensor.
    """

    def __init__(self, model: Model, tensors: Sequence[str], options: EngineOptions) -> None:
        self._name, self._tensors = model.encoder.name, tuple(tensors)
        part = cut_graph(model.encoder, tensors)
        way = Way(options.device or "cpu", options.provider)
        session = open_session(model.encoder, way, options.threads, part)
        self._session: onnxruntime.InferenceSession | None = session
        self._weights = part.weights  # mapped, not copied: the session may read them there
        self._input = session.get_inputs()[0].name
        release_mapped_pages(model.folder)

    def run(self, image: UInt8[ndarray, "height width 3"]) -> Iterator[Probed]:
        """Run on one image."""
        if self._session is None:
            raise EngineError(f"{self._name}: this probe was closed; open it again")
        binding = self._session.io_binding()
        try:
            binding.bind_cpu_input(self._input, image[None])
            for name in self._tensors:
                binding.bind_output(name)
            self._session.run_with_iobinding(binding)
            values = binding.get_outputs()
        except Exception as error:
            raise EngineError(
                f"{self._name}: ONNX Runtime failed: {short_reason(error)}"
            ) from error
        for name, value in zip(self._tensors, values, strict=True):
            yield Probed(name, value.numpy())

    def close(self) -> None:
        """Free the session; closing twice does no harm."""
        self._session, self._weights = None, {}
