"""An inference answer: JSON, and the binary tensors behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vipx.runtime.server.protocol.faults import RequestError, shown
from vipx.runtime.server.protocol.json_text import write_json
from vipx.runtime.server.protocol.requests import InferRequest, WantedOutput
from vipx.runtime.server.protocol.tensors import OutputTensor

Parameter = str | int | float | bool


@dataclass(frozen=True, slots=True)
class InferResponse:
    """What a model answered."""

    model: str
    version: str
    id: str
    outputs: tuple[OutputTensor, ...]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EncodedResponse:
    """The bytes of an answer; `header_length` is that of its JSON, None where it is JSON throughout."""

    body: bytes
    header_length: int | None

    @property
    def content_type(self) -> str:
        """The media type that the body has."""
        return "application/json" if self.header_length is None else "application/octet-stream"


def wanted_outputs(request: InferRequest, known: Sequence[str]) -> tuple[WantedOutput, ...]:
    """Say which outputs a request gets: those that it names, or all.

    Raises:
        RequestError: It names one that the model does not have.
    """
    if request.outputs is None:
        return tuple(WantedOutput(name, request.binary_output) for name in known)
    for output in request.outputs:
        if output.name not in known:
            raise RequestError(
                f"no output is called {shown(output.name)}; there are: {', '.join(known)}"
            )
    return request.outputs


def encode_response(response: InferResponse, wanted: Sequence[WantedOutput]) -> EncodedResponse:
    """Write an answer with the wanted outputs, in the order in which they were asked for."""
    tensors = {tensor.name: tensor for tensor in response.outputs}
    binary: list[bytes] = []
    outputs: list[dict[str, object]] = []
    for output in wanted:
        tensor = tensors[output.name]
        record: dict[str, object] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.array.shape),
        }
        if output.binary:
            binary.append(tensor.raw())
            record["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            record["data"] = tensor.values()
        outputs.append(record)
    text = write_json(_head(response) | {"outputs": outputs})
    return EncodedResponse(b"".join([text, *binary]), len(text) if binary else None)


def _head(response: InferResponse) -> dict[str, object]:
    head: dict[str, object] = {
        "model_name": response.model,
        "model_version": response.version,
        "parameters": dict(response.parameters),
    }
    return head | ({"id": response.id} if response.id else {})
