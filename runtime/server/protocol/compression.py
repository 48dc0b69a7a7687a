"""gzip and deflate bodies; the bound is on what comes out."""

import zlib
from typing import Final, Literal, cast

from vipx.runtime.server.protocol.faults import RequestError, shown

Coding = Literal["gzip", "deflate"]
# HTTP's "deflate" is the zlib format; 16 asks zlib for gzip's.
_WINDOW: Final = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
# Of a float map, higher levels take three times as long and save a few percent.
_LEVEL: Final = 1


def read_coding(text: str | None) -> Coding | None:
    """Read the header `Content-Encoding`.

    Raises:
        RequestError: It is not one that is offered (415).
    """
    name = (text or "identity").strip().lower()
    if name == "identity":
        return None
    if name not in _WINDOW:
        raise RequestError(
            f"Content-Encoding {shown(name)} is not offered; send gzip, deflate or none",
            status=415,
            headers={"Accept-Encoding": "gzip, deflate"},
        )
    return cast("Coding", name)


def wanted_coding(text: str | None) -> Coding | None:
    """Read the header `Accept-Encoding`: an answer is compressed only if exactly one coding is asked for.

    Clients that list several do so on their own account; compressing a map for each of them takes longer than a
    local network does.
    """
    name = (text or "").strip().lower()
    return cast("Coding", name) if name in _WINDOW else None


def decompress(body: bytes, coding: Coding, most: int) -> bytes:
    """Decompress a whole body.

    Args:
        body: As received.
        coding: Of the body.
        most: Bytes that may come out.

    Raises:
        RequestError: More comes out (413), or it is broken, incomplete, or followed by something else.
    """
    stream = zlib.decompressobj(_WINDOW[coding])
    try:
        data = stream.decompress(body, most + 1)
    except zlib.error as error:
        raise RequestError(f"the {coding} body cannot be decompressed ({error})") from error
    if len(data) > most:
        raise RequestError(f"the body has more than {most} bytes when decompressed", status=413)
    if not stream.eof:
        raise RequestError(f"the {coding} body is incomplete")
    if stream.unused_data:
        raise RequestError(f"something follows the end of the {coding} body")
    return data


def compress(body: bytes, coding: Coding) -> bytes:
    """Compress an answer."""
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW[coding])
    return stream.compress(body) + stream.flush()
