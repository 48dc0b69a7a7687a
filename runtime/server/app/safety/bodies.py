"""Bodies of requests: bounded each and together, decompressed within the same bounds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.requests import Request

from vipx.runtime.server.protocol.compression import Coding, decompress, read_coding
from vipx.runtime.server.protocol.faults import RequestError, shown
from vipx.runtime.server.settings import Limits

_DECOMPRESSED_AT_ONCE: Final = 2  # bodies; their size is known, and counted, only afterwards


class Bodies:
    """Reads bodies, and knows how many bytes of them are held at this moment."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0
        self._decompressing = asyncio.Semaphore(_DECOMPRESSED_AT_ONCE)

    @property
    def held(self) -> int:
        """Bytes of all bodies that are held."""
        return self._held

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the whole body, decompressed; its bytes count as held until the block ends.

        Raises:
            RequestError: It is too long (413), its coding is unknown (415) or broken, or too many bytes
                of other requests are held (503).
        """
        before = _Hold(self)
        try:
            coding = read_coding(request.headers.get("content-encoding"))
            body = await self._receive(request, before)
            if coding is not None:
                body = await self._decompress(body, coding, before)
            yield body
        finally:
            before.release()

    async def _receive(self, request: Request, hold: "_Hold") -> bytes:
        most = self._limits.body_bytes
        announced = request.headers.get("content-length", "0")
        if announced.isdigit() and int(announced[:20]) > most:
            raise _too_long(most)
        parts: list[bytes] = []
        received = 0
        async for part in request.stream():
            received += len(part)
            if received > most:
                raise _too_long(most)
            hold.take(len(part))
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _decompress(self, body: bytes, coding: Coding, hold: "_Hold") -> bytes:
        most = self._limits.body_bytes
        async with self._decompressing:
            data = await asyncio.to_thread(decompress, body, coding, most)
        hold.take(len(data))
        return data

    def _take(self, count: int) -> None:
        if self._held + count > self._limits.in_flight_bytes:
            raise RequestError(
                "too many bytes of other requests are held; try again",
                status=503,
                headers={"Retry-After": "1"},
            )
        self._held += count

    def _give(self, count: int) -> None:
        self._held -= count


class _Hold:
    """What one request holds."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._count = 0

    def take(self, count: int) -> None:
        self._bodies._take(count)
        self._count += count

    def release(self) -> None:
        self._bodies._give(self._count)
        self._count = 0


def check_content_type(request: Request, allowed: tuple[str, ...]) -> str:
    """Say which of the allowed media types a request names; the last one if it names none.

    Raises:
        RequestError: It names another (415).
    """
    named = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not named:
        return allowed[-1]
    if named not in allowed:
        raise RequestError(
            f"Content-Type {shown(named)} is not taken; send {', '.join(allowed)}", status=415
        )
    return named


def _too_long(most: int) -> RequestError:
    return RequestError(f"the body has more than {most} bytes", status=413)
