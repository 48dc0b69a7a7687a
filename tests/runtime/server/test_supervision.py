import asyncio
import socket

from vipx.runtime.server.settings import ServerSettings
from vipx.runtime.server.supervision import bind


def test_small_answers_are_sent_at_once() -> None:
    """Nagle's algorithm holds the second part of an answer until the client's acknowledgement: 40 ms."""
    seen: list[int] = []

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        seen.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()
        await writer.wait_closed()

    async def ask() -> None:
        taken = bind(ServerSettings(port=0))
        async with await asyncio.start_server(answer, sock=taken):
            reader, writer = await asyncio.open_connection(*taken.getsockname())
            await reader.read()
            writer.close()
            await writer.wait_closed()

    asyncio.run(ask())
    assert seen == [1]
