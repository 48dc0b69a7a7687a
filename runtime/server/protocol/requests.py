"""An inference request: JSON, and the binary tensors behind it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vipx.runtime.server.protocol.faults import RequestError, shown
from vipx.runtime.server.protocol.json_text import read_json_object
from vipx.runtime.server.protocol.tensors import DATATYPES, InputTensor, read_shape

_MOST_TENSORS = 16
_MOST_ID = 256


@dataclass(frozen=True, slots=True)
class WantedOutput:
    """An output that the client asked for, and whether as binary data."""

    name: str
    binary: bool


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request as it was sent.

    Attributes:
        id: Echoed in the answer; empty if the client gave none.
        inputs: In the order of the request.
        outputs: None if the client named none, and takes all.
        binary_output: Whether outputs that were not named are sent as binary data.
        parameters: Of the request.
    """

    id: str
    inputs: tuple[InputTensor, ...]
    outputs: tuple[WantedOutput, ...] | None = None
    binary_output: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)


def read_infer_request(body: bytes, header_length: int | None) -> InferRequest:
    """Read a request.

    Args:
        body: Decompressed.
        header_length: Of the JSON at its beginning, in bytes; None where the whole body is JSON.

    Raises:
        RequestError: Anything in it is not as the protocol says.
    """
    view = memoryview(body)
    size = len(body) if header_length is None else header_length
    if size > len(body):
        raise RequestError(
            f"Inference-Header-Content-Length is {size}, the body has {len(body)} bytes"
        )
    record = read_json_object(view[:size])
    parameters = _parameters(record, "the request")
    binary = _flag(parameters, "binary_data_output", default=False)
    return InferRequest(
        id=_identifier(record.get("id", "")),
        inputs=_inputs(record.get("inputs"), view[size:]),
        outputs=_outputs(record.get("outputs"), binary),
        binary_output=binary,
        parameters=parameters,
    )


def read_raw_request(body: bytes, name: str) -> InferRequest:
    """Read a body that is nothing but one element of one BYTES input; the answer is binary."""
    framed = len(body).to_bytes(4, "little") + body
    return InferRequest("", (InputTensor(name, "BYTES", (1, 1), memoryview(framed)),), None, True)


def read_header_length(text: str | None) -> int | None:
    """Read the header `Inference-Header-Content-Length`; None where there is none.

    Raises:
        RequestError: It is no whole number from 0 up.
    """
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise RequestError(
            f"Inference-Header-Content-Length: expected a number of bytes, got {shown(text)}"
        )
    return int(text)


def _inputs(value: object, binary: memoryview) -> tuple[InputTensor, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= _MOST_TENSORS:
        raise RequestError(f"inputs: expected a list of 1 to {_MOST_TENSORS} tensors")
    inputs: list[InputTensor] = []
    for one in value:
        tensor, taken = _input(one, binary)
        inputs.append(tensor)
        binary = binary[taken:]
    if len(binary):
        raise RequestError(f"{len(binary)} bytes follow the last input's binary data")
    if len({tensor.name for tensor in inputs}) < len(inputs):
        raise RequestError("inputs: a name is given twice")
    return tuple(inputs)


def _input(value: object, binary: memoryview) -> tuple[InputTensor, int]:
    """Read one input and say how many bytes of the binary part it took."""
    record = _record(value, "inputs")
    name = _name(record, "inputs")
    datatype = record.get("datatype")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise RequestError(f"{shown(name)}: {shown(datatype)} is no datatype of the protocol")
    shape = read_shape(record.get("shape"), name)
    size = _parameters(record, name).get("binary_data_size")
    if size is None:
        if "data" not in record:
            raise RequestError(f"{shown(name)}: has neither data nor a binary_data_size")
        return InputTensor(name, datatype, shape, None, record["data"]), 0
    if "data" in record:
        raise RequestError(f"{shown(name)}: has both data and a binary_data_size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(binary):
        raise RequestError(
            f"{shown(name)}: binary_data_size is {shown(size)}, {len(binary)} bytes are left"
        )
    return InputTensor(name, datatype, shape, binary[:size]), size


def _outputs(value: object, binary: bool) -> tuple[WantedOutput, ...] | None:
    if value is None or value == []:
        return None
    if not isinstance(value, list) or len(value) > _MOST_TENSORS:
        raise RequestError(f"outputs: expected a list of at most {_MOST_TENSORS} names")
    outputs = tuple(_output(one, binary) for one in value)
    if len({output.name for output in outputs}) < len(outputs):
        raise RequestError("outputs: a name is given twice")
    return outputs


def _output(value: object, binary: bool) -> WantedOutput:
    record = _record(value, "outputs")
    name = _name(record, "outputs")
    parameters = _parameters(record, name)
    if parameters.get("classification"):
        raise RequestError(f"{shown(name)}: classification is not offered")
    return WantedOutput(name, _flag(parameters, "binary_data", default=binary))


def _record(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequestError(f"{where}: expected objects, got {type(value).__name__}")
    return value


def _name(record: Mapping[str, Any], where: str) -> str:
    name = record.get("name")
    if not isinstance(name, str) or not name:
        raise RequestError(f"{where}: expected a name for each tensor")
    return name


def _parameters(record: Mapping[str, Any], where: str) -> dict[str, Any]:
    parameters = record.get("parameters", {})
    if not isinstance(parameters, dict):
        raise RequestError(f"{shown(where)}: expected parameters to be an object")
    if any(name.startswith("shared_memory") for name in parameters):
        raise RequestError(f"{shown(where)}: shared memory is not offered; send the data itself")
    return parameters


def _flag(parameters: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise RequestError(f"{name}: expected true or false, got {shown(value)}")
    return value


def _identifier(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MOST_ID:
        raise RequestError(f"id: expected a text of at most {_MOST_ID} characters")
    return value
