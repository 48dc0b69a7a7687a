"""Tensors as the protocol carries them: names, shapes and datatypes, binary or as JSON numbers."""

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from jaxtyping import Shaped, UInt8
from numpy import ndarray

from vipx.runtime.server.protocol.faults import RequestError, shown

MOST_DIMENSIONS: Final = 16
DTYPES: Mapping[str, "np.dtype[Any]"] = MappingProxyType(
    {
        "BOOL": np.dtype("?"),
        "UINT8": np.dtype("u1"),
        "UINT16": np.dtype("<u2"),
        "UINT32": np.dtype("<u4"),
        "UINT64": np.dtype("<u8"),
        "INT8": np.dtype("i1"),
        "INT16": np.dtype("<i2"),
        "INT32": np.dtype("<i4"),
        "INT64": np.dtype("<i8"),
        "FP16": np.dtype("<f2"),
        "FP32": np.dtype("<f4"),
        "FP64": np.dtype("<f8"),
    }
)
DATATYPES: Final = frozenset({*DTYPES, "BF16", "BYTES"})


@dataclass(frozen=True, slots=True)
class InputTensor:
    """One input of a request, not yet understood: either `raw` bytes or JSON `values`."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: memoryview | None = None
    values: Any = None

    @property
    def count(self) -> int:
        """Number of elements that the shape announces."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """One output of an answer; its datatype follows from the array's."""

    name: str
    datatype: str
    array: Shaped[ndarray, "..."]

    def raw(self) -> bytes:
        """Give the elements little-endian, row after row."""
        return np.ascontiguousarray(self.array, DTYPES[self.datatype]).tobytes()

    def values(self) -> list[object]:
        """Give the elements as a flat list for JSON; what is not finite becomes null."""
        flat = self.array.ravel()
        if flat.dtype.kind == "f" and not np.isfinite(flat).all():
            return [value if math.isfinite(value) else None for value in flat.tolist()]
        return list(flat.tolist())


def read_shape(value: object, name: str) -> tuple[int, ...]:
    """Read a shape of whole numbers from 0 up.

    Raises:
        RequestError: It is none.
    """
    if not isinstance(value, list) or len(value) > MOST_DIMENSIONS:
        raise RequestError(f"{shown(name)}: expected a shape, a list of whole numbers")
    for side in value:
        if not isinstance(side, int) or isinstance(side, bool) or not 0 <= side < 2**63:
            raise RequestError(f"{shown(name)}: {shown(side)} cannot be the length of a dimension")
    return tuple(value)


def read_bytes(tensor: InputTensor) -> tuple[memoryview, ...]:
    """Read the elements of a binary BYTES tensor: each is its length in four bytes, then itself.

    Raises:
        RequestError: The data does not hold exactly the elements that the shape announces.
    """
    if tensor.raw is None:
        raise RequestError(f"{shown(tensor.name)}: files are sent as binary data, not as JSON text")
    elements = tuple(_elements(tensor.raw, tensor.name, tensor.count))
    if len(elements) != tensor.count:
        raise _miscounted(tensor, len(elements))
    return elements


def read_uint8(tensor: InputTensor) -> UInt8[ndarray, "count"]:
    """Read the elements of a UINT8 tensor, flat; binary ones are a view of the request's body.

    Raises:
        RequestError: There are more or fewer than the shape announces, or one is no number from 0 to 255.
    """
    if tensor.raw is not None:
        flat = np.frombuffer(tensor.raw, np.uint8)
    else:
        flat = np.frombuffer(_bytes_of_numbers(tensor), np.uint8)
    if len(flat) != tensor.count:
        raise _miscounted(tensor, len(flat))
    return flat


def _elements(raw: memoryview, name: str, most: int) -> Iterator[memoryview]:
    place = 0
    for _ in range(most + 1):
        if place == len(raw):
            return
        if place + 4 > len(raw):
            raise RequestError(f"{shown(name)}: the last element has no whole length")
        (length,) = struct.unpack_from("<I", raw, place)
        place += 4 + length
        if place > len(raw):
            raise RequestError(f"{shown(name)}: an element reaches beyond the end of the data")
        yield raw[place - length : place]


def _bytes_of_numbers(tensor: InputTensor) -> bytes:
    values = tensor.values
    if not isinstance(values, list):
        raise RequestError(f"{shown(tensor.name)}: expected data, a list of numbers")
    try:
        for _ in range(MOST_DIMENSIONS):
            if not values or type(values[0]) is not list:
                break
            values = list(chain.from_iterable(values))
        return bytes(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise RequestError(
            f"{shown(tensor.name)}: expected whole numbers from 0 to 255 as data ({error})"
        ) from error


def _miscounted(tensor: InputTensor, found: int) -> RequestError:
    return RequestError(
        f"{shown(tensor.name)}: shape {list(tensor.shape)} announces {tensor.count} elements, "
        f"the data has {found}"
    )
