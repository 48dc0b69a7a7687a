"""Reads the external-data paths of an ONNX file without the onnx package, in constant memory.

An inspection PC has no onnx package, yet must not hand an engine a graph that reads files outside its bundle.
ONNX is protobuf: a message is a run of (field number, wire type, payload). Any message may hold a TensorProto
(initialisers, attributes, subgraphs, functions), so the scan enters every field that can lead to one and skips
weights by their length. Field numbers are those of onnx.proto (IR version 10).
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from vipx.errors import BundleError

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MAX_DEPTH = 64

# message -> {field: message inside it}; all other fields are skipped.
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}


class _Field(NamedTuple):
    number: int
    start: int
    end: int


def external_data_paths(path: Path) -> set[str]:
    """List every `location` that the ONNX file's tensors refer to.

    Raises:
        BundleError: The file is not a well-formed protobuf.
    """
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise BundleError(f"{path}: empty file; export the bundle again") from None
        with data:
            try:
                return set(_locations(data, "model", 0, len(data), 0))
            except (IndexError, ValueError) as error:
                raise BundleError(f"{path}: not a well-formed ONNX file ({error})") from error


def _locations(data: mmap.mmap, message: str, start: int, end: int, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    children = _CHILDREN[message]
    for field in _fields(data, start, end):
        child = children.get(field.number)
        if child == "entry":
            yield from _location(data, field)
        elif child is not None:
            yield from _locations(data, child, field.start, field.end, depth + 1)


def _location(data: mmap.mmap, entry: _Field) -> Iterator[str]:
    """Read one StringStringEntryProto of a tensor's external data."""
    pair = {f.number: data[f.start : f.end] for f in _fields(data, entry.start, entry.end)}
    if pair.get(1) == b"location":
        yield pair.get(2, b"").decode("utf-8", errors="surrogateescape")


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[_Field]:
    """Walk the length-delimited fields of a message; the others cannot hold a path."""
    position = start
    while position < end:
        tag, position = _varint(data, position)
        wire = tag & 7
        if wire == _LENGTH:
            length, position = _varint(data, position)
            stop = position + length
            if stop > end:
                raise ValueError("a field is longer than its message")
            yield _Field(tag >> 3, position, stop)
            position = stop
        elif wire == _VARINT:
            _, position = _varint(data, position)
        elif wire in (_FIXED64, _FIXED32):
            position += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {wire}")
    if position != end:
        raise ValueError("a field is longer than its message")


def _varint(data: mmap.mmap, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number of more than ten bytes")
