"""The pictures of an inference request, checked against what the model takes."""

from collections.abc import Mapping
from typing import Any, Final

from jaxtyping import UInt8
from numpy import ndarray

from vipx.images import MAX_PIXELS
from vipx.runtime.server.protocol.faults import RequestError, shown
from vipx.runtime.server.protocol.models import INPUT, ServedModel
from vipx.runtime.server.protocol.requests import InferRequest
from vipx.runtime.server.protocol.tensors import InputTensor, read_bytes, read_uint8

Picture = bytes | UInt8[ndarray, "height width 3"]
# What tritonclient sends for sequences and classification, and what a client may set besides.
_REFUSED: Final = ("sequence_id", "sequence_start", "sequence_end")
_MOST_SECONDS: Final = 60.0


def read_pictures(request: InferRequest, model: ServedModel) -> tuple[Picture, ...]:
    """Take the pictures out of a request: files as they are, or views of RGB pixels.

    Raises:
        RequestError: The input is not the one that the model has, or does not hold what its shape says.
    """
    tensor = _only_input(request, model)
    if model.takes == "files":
        return _files(tensor, model)
    return _frames(tensor, model)


def read_deadline(parameters: Mapping[str, Any], default: float) -> float:
    """Read how many seconds a request may wait for its turn, from `timeout` in microseconds; 0 is the default.

    Raises:
        RequestError: The parameter is no number of microseconds, or sequences are asked for.
    """
    for name in _REFUSED:
        if parameters.get(name):
            raise RequestError(f"{name}: sequences are not offered; each image stands alone")
    value = parameters.get("timeout", 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RequestError(f"timeout: expected microseconds, got {shown(value)}")
    return min(value / 1e6, _MOST_SECONDS) if value else default


def read_part_id(value: object) -> str:
    """Read what the client calls its part.

    Raises:
        RequestError: It is no text of at most 128 characters that can be shown.
    """
    if not isinstance(value, str) or len(value) > 128 or not (value.isprintable() or not value):
        raise RequestError("part_id: expected at most 128 characters, all of them printable")
    return value


def _only_input(request: InferRequest, model: ServedModel) -> InputTensor:
    expected = "UINT8" if model.takes == "pixels" else "BYTES"
    if len(request.inputs) != 1 or request.inputs[0].name != INPUT:
        names = ", ".join(shown(tensor.name) for tensor in request.inputs)
        raise RequestError(f"{model.name} takes one input called {INPUT}, got: {names}")
    tensor = request.inputs[0]
    if tensor.datatype != expected:
        raise RequestError(f"{INPUT}: expected {expected}, got {tensor.datatype}")
    return tensor


def _files(tensor: InputTensor, model: ServedModel) -> tuple[bytes, ...]:
    shape = tensor.shape
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        raise RequestError(f"{INPUT}: expected shape [images, 1], got {list(shape)}")
    _check_count(shape[0], model)
    return tuple(bytes(element) for element in read_bytes(tensor))


def _frames(
    tensor: InputTensor, model: ServedModel
) -> tuple[UInt8[ndarray, "height width 3"], ...]:
    shape = tensor.shape
    if len(shape) != 4 or shape[3] != 3 or 0 in shape:
        raise RequestError(f"{INPUT}: expected shape [images, height, width, 3], got {list(shape)}")
    _check_count(shape[0], model)
    if shape[1] * shape[2] > MAX_PIXELS:
        raise RequestError(f"{INPUT}: {shape[1]} x {shape[2]} px, at most {MAX_PIXELS} are taken")
    return tuple(read_uint8(tensor).reshape(shape))


def _check_count(images: int, model: ServedModel) -> None:
    if not 1 <= images <= model.most_images:
        raise RequestError(
            f"{INPUT}: {images} images, {model.name} takes 1 to {model.most_images} in a request"
        )
