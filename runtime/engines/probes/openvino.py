"""Inner tensors by OpenVINO."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from jaxtyping import UInt8
from numpy import ndarray

from vipx.errors import EngineError, short_reason
from vipx.runtime.engines.engine import EngineOptions, Model
from vipx.runtime.engines.mapped import release_mapped_pages
from vipx.runtime.engines.openvino import compile_graph, load_openvino, settings_of
from vipx.runtime.engines.probes.probe import Probed

if TYPE_CHECKING:
    import openvino


class OpenVinoProbe:
    """The part of the encoder that the tensors take, compiled for the CPU.

    Raises:
        EngineError: OpenVINO is not installed, or the graph is refused.
    """

    def __init__(self, model: Model, tensors: Sequence[str], options: EngineOptions) -> None:
        self._name, self._tensors = model.encoder.name, tuple(tensors)
        library = load_openvino()

        def part(whole: "openvino.Model") -> "openvino.Model":
            return library.Model(whole.add_outputs(list(tensors)), whole.get_parameters(), "part")

        settings = settings_of("f32", options.threads)
        compiled = compile_graph(library.Core(), model.encoder, settings, part)
        self._request: openvino.InferRequest | None = compiled.create_infer_request()
        self._library, self._folder = library, model.folder
        release_mapped_pages(self._folder)

    def run(self, image: UInt8[ndarray, "height width 3"]) -> Iterator[Probed]:
        """Run on one image."""
        if self._request is None:
            raise EngineError(f"{self._name}: this probe was closed; open it again")
        try:
            self._request.set_input_tensor(self._library.Tensor(image[None]))
            self._request.infer()
        except Exception as error:
            raise EngineError(f"{self._name}: OpenVINO failed: {short_reason(error)}") from error
        for name in self._tensors:
            yield Probed(name, self._request.get_tensor(name).data)

    def close(self) -> None:
        """Free the compiled model; closing twice does no harm."""
        self._request = None
