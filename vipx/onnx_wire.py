"""Reads ONNX's wire format, and a file's external-data paths, without the onnx package, in constant memory.

An inspection PC has no onnx package, yet must not hand an engine a graph that reads files outside its bundle.
ONNX is protobuf: a message is a run of (field number, wire type, payload). Any message may hold a TensorProto
(initialisers, attributes, subgraphs, functions), so the scan enters every field that can lead to one and skips
weights by their length. Field numbers are those of onnx.proto (IR version 10).
"""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from vipx.errors import BundleError

VARINT, LENGTH = 0, 2
_FIXED = {1: 8, 5: 4}  # wire type -> bytes
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


class Field(NamedTuple):
    """One field of a message: what it is, where it begins, and from where to where its value lies."""

    number: int
    wire: int
    begin: int
    start: int
    end: int


@contextmanager
def mapped(path: Path) -> Iterator[mmap.mmap]:
    """Map an ONNX file to read its fields.

    Raises:
        BundleError: The file is empty, or what is read in the block is not well formed.
    """
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise BundleError(f"{path}: empty file; export the bundle again") from None
        with data:
            try:
                yield data
            except (IndexError, ValueError) as error:
                raise BundleError(f"{path}: not a well-formed ONNX file ({error})") from error


def external_data_paths(path: Path) -> set[str]:
    """List every `location` that the ONNX file's tensors refer to.

    Raises:
        BundleError: The file is not a well-formed protobuf.
    """
    with mapped(path) as data:
        return set(_locations(data, "model", 0, len(data), 0))


def _locations(data: mmap.mmap, message: str, start: int, end: int, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    children = _CHILDREN[message]
    for field in fields(data, start, end):
        child = children.get(field.number)
        if child is None or field.wire != LENGTH:
            continue
        if child == "entry":
            yield from _location(data, field)
        else:
            yield from _locations(data, child, field.start, field.end, depth + 1)


def _location(data: mmap.mmap, entry: Field) -> Iterator[str]:
    name, value = string_pair(data, entry)
    if name == "location":
        yield value


def string_pair(data: mmap.mmap, entry: Field) -> tuple[str, str]:
    """Read one StringStringEntryProto, as a tensor's external data has."""
    pair = {field.number: text(data, field) for field in fields(data, entry.start, entry.end)}
    return pair.get(1, ""), pair.get(2, "")


def text(data: mmap.mmap, field: Field) -> str:
    """Read a field as a string."""
    return data[field.start : field.end].decode("utf-8", errors="surrogateescape")


def fields(data: mmap.mmap, start: int, end: int) -> Iterator[Field]:
    """Walk the fields of a message.

    Raises:
        ValueError: It is not well formed.
        IndexError: It ends within a number.
    """
    position = start
    while position < end:
        begin = position
        tag, position = varint(data, begin)
        wire = tag & 7
        if wire == LENGTH:
            length, position = varint(data, position)
            stop = position + length
        elif wire == VARINT:
            _, stop = varint(data, position)
        elif wire in _FIXED:
            stop = position + _FIXED[wire]
        else:
            raise ValueError(f"unknown wire type {wire}")
        if stop > end:
            raise ValueError("a field is longer than its message")
        yield Field(tag >> 3, wire, begin, position, stop)
        position = stop


def varint(data: mmap.mmap, position: int) -> tuple[int, int]:
    """Read a number, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number of more than ten bytes")
