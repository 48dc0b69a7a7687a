"""Forms with a picture (multipart/form-data), read from a body that is whole and bounded already."""

import re
from dataclasses import dataclass
from email.message import Message
from typing import Final

from vipx.runtime.server.protocol.faults import RequestError

_MOST_PARTS: Final = 16
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{1,70}")


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a form; `file` says whether it came with a file name."""

    name: str
    file: bool
    data: bytes


def read_form(body: bytes, content_type: str) -> tuple[Part, ...]:
    """Split a form into its fields.

    Raises:
        RequestError: It has no boundary, no end, more than 16 fields, or a field without name.
    """
    marker = b"\r\n--" + _boundary(content_type)
    _, *sections = (b"\r\n" + body).split(marker, _MOST_PARTS + 1)
    if not sections or not sections[-1].startswith(b"--"):
        raise RequestError(f"the form does not end, or has more than {_MOST_PARTS} fields")
    return tuple(_part(section) for section in sections[:-1])


def _boundary(content_type: str) -> bytes:
    boundary = _parameters(content_type, "content-type").get_param("boundary")
    if not isinstance(boundary, str) or not _BOUNDARY.fullmatch(boundary):
        raise RequestError("Content-Type: the form names no boundary")
    return boundary.encode("ascii")


def _part(section: bytes) -> Part:
    head, gap, data = section.partition(b"\r\n\r\n")
    if not gap or len(head) > 4096 or not head.startswith(b"\r\n"):
        raise RequestError("a field of the form has no headers")
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            return _described(value, data)
    raise RequestError("a field of the form has no Content-Disposition")


def _described(disposition: str, data: bytes) -> Part:
    message = _parameters(disposition.strip(), "content-disposition")
    name = message.get_param("name", header="content-disposition")
    if not isinstance(name, str) or not name:
        raise RequestError("a field of the form has no name")
    file = message.get_param("filename", header="content-disposition") is not None
    return Part(name, file, data)


def _parameters(value: str, header: str) -> Message:
    message = Message()
    message[header] = value.replace("\r", " ").replace("\n", " ")
    return message
