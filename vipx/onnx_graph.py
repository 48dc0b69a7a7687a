"""Reads the nodes and constants of an ONNX graph without the onnx package, and cuts a part of it out."""

import mmap
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy import ndarray

from vipx.errors import BundleError
from vipx.onnx_wire import LENGTH, Field, fields, mapped, string_pair, text, varint

# Field numbers of onnx.proto: GraphProto below ModelProto, and what is in it.
_GRAPH, _NODE, _INITIALIZER, _OUTPUT, _VALUE = 7, 1, 5, 12, 13
_TYPES = {1: "<f4", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8"}  # TensorProto.DataType
_FLOAT = b"\x0a\x02\x08\x01"  # TypeProto{tensor_type{elem_type: FLOAT}}


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of a graph, with the names of the tensors that it takes and gives."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Constant:
    """One initializer, whose values stay in their file.

    Attributes:
        name: Of the tensor.
        shape: Its axes.
        type: ONNX's number of its type; 1 is float32.
        file: Which holds the values, from byte `offset` on: the graph's own, or the weights beside it.
        offset: None where they are not stored as plain bytes.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    file: Path
    offset: int | None

    def values(self) -> ndarray:
        """Map the values read-only.

        Raises:
            BundleError: They are not stored as plain bytes of a type that is known, or not whole.
        """
        if self.offset is None or self.type not in _TYPES:
            raise BundleError(
                f"{self.file}: {self.name!r} is stored in a way that is not understood"
            )
        dtype = np.dtype(_TYPES[self.type])
        if self.file.stat().st_size < self.offset + dtype.itemsize * prod(self.shape):
            raise BundleError(f"{self.file}: ends within {self.name!r}; copy the bundle again")
        return np.memmap(self.file, dtype, "r", self.offset, self.shape)


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """The nodes of a graph in the order of its file, each after what it takes, and its constants."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, Constant]


@dataclass(frozen=True, slots=True)
class GraphPart:
    """A part of a graph as a model of its own.

    Attributes:
        model: As an ONNX file would be.
        weights: What that file would take from beside it, by the tensors' names.
    """

    model: bytes
    weights: Mapping[str, ndarray]


def read_graph(path: Path) -> OnnxGraph:
    """Read a graph, but for its weights.

    Raises:
        BundleError: The file is not well formed.
    """
    with mapped(path) as data:
        parts = list(_graph_fields(data))
        constants = [_constant(data, part, path) for part in parts if part.number == _INITIALIZER]
        nodes = tuple(_node(data, part) for part in parts if part.number == _NODE)
    return OnnxGraph(nodes, {constant.name: constant for constant in constants})


def cut_graph(path: Path, outputs: Sequence[str]) -> GraphPart:
    """Cut out the part of a graph that computes some of its float32 tensors.

    Raises:
        BundleError: The file is not well formed, computes no such tensor, or keeps weights in an unknown way.
    """
    with mapped(path) as data:
        parts = list(_graph_fields(data))
        nodes = {part: _node(data, part) for part in parts if part.number == _NODE}
        constants = {
            part: _constant(data, part, path) for part in parts if part.number == _INITIALIZER
        }
        missing = set(outputs) - {name for node in nodes.values() for name in node.outputs}
        if missing:
            raise BundleError(f"{path}: computes no {sorted(missing)[0]!r}")
        needed = _needed(list(nodes.values()), outputs)
        dropped = {part for part, node in nodes.items() if not needed & set(node.outputs)}
        dropped |= {part for part, constant in constants.items() if constant.name not in needed}
        dropped |= {part for part in parts if part.number in (_OUTPUT, _VALUE)}
        body = b"".join(data[each.begin : each.end] for each in parts if each not in dropped)
        body += b"".join(_encoded(_OUTPUT, _value(name)) for name in outputs)
        whole = fields(data, 0, len(data))
        rest = b"".join(data[each.begin : each.end] for each in whole if each.number != _GRAPH)
    kept = [constant for part, constant in constants.items() if part not in dropped]
    weights = {each.name: each.values() for each in kept if each.file != path}
    return GraphPart(rest + _encoded(_GRAPH, body), weights)


def _graph_fields(data: mmap.mmap) -> Iterator[Field]:
    for field in fields(data, 0, len(data)):
        if field.number == _GRAPH and field.wire == LENGTH:
            yield from fields(data, field.start, field.end)


def _node(data: mmap.mmap, part: Field) -> Node:
    inner = list(fields(data, part.start, part.end))

    def texts(number: int) -> tuple[str, ...]:
        return tuple(text(data, field) for field in inner if field.number == number)

    return Node(operator="".join(texts(4)), inputs=texts(1), outputs=texts(2))


def _constant(data: mmap.mmap, part: Field, path: Path) -> Constant:
    inner = list(fields(data, part.start, part.end))
    held = {field.number: field for field in inner}
    outside = dict(string_pair(data, field) for field in inner if field.number == 13)
    file, offset = path, held[9].start if 9 in held else None
    if "location" in outside:
        file, offset = path.with_name(outside["location"]), int(outside.get("offset", "0"))
    return Constant(
        name=text(data, held[8]) if 8 in held else "",
        shape=tuple(size for field in inner if field.number == 1 for size in _numbers(data, field)),
        type=varint(data, held[2].start)[0] if 2 in held else 0,
        file=file,
        offset=offset,
    )


def _numbers(data: mmap.mmap, field: Field) -> Iterator[int]:
    """Read numbers that stand alone or packed."""
    position = field.start
    while position < field.end:
        value, position = varint(data, position)
        yield value


def _needed(nodes: Sequence[Node], outputs: Collection[str]) -> set[str]:
    """Name every tensor that the outputs depend on, and themselves."""
    needed = set(outputs)
    for node in reversed(nodes):
        if needed & set(node.outputs):
            needed |= set(node.inputs)
    return needed


def _value(name: str) -> bytes:
    """Encode a ValueInfoProto of a float32 tensor of any shape."""
    return _encoded(1, name.encode("utf-8", errors="surrogateescape")) + _encoded(2, _FLOAT)


def _encoded(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | LENGTH) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
