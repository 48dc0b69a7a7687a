"""Peers that take connections and say nothing, or nothing sensible."""

import asyncio
import socket
import threading


class Deaf:
    """Takes connections and answers nothing, or always the same; `hang_up` ends those that are open."""

    def __init__(self, says: bytes = b"") -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._says = says
        self.open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def hang_up(self) -> None:
        while self.open:
            self.open.pop().close()

    def left(self) -> bool:
        """Whether whoever came has hung up; reads what is there, and never waits."""
        return bool(self.open) and all(_at_end(one) for one in self.open)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(30)
        self._listening.close()
        self.hang_up()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.open.append(connection)
            if self._says:
                connection.sendall(self._says)


def _at_end(connection: socket.socket) -> bool:
    try:
        while connection.recv(65536, socket.MSG_DONTWAIT):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


class Relay:
    """Stands between a sink and its PLC, on the test's own loop; passes everything on until it stalls."""

    def __init__(self, behind: int) -> None:
        self._behind, self._passes = behind, True
        self._tasks: set[asyncio.Task[None]] = set()
        self.held = self.connections = 0

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def stall(self) -> None:
        """What comes from now on goes no further."""
        self._passes = False

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        ways = [self._pass(reader, far_writer), self._pass(far_reader, writer)]
        try:
            await asyncio.gather(*ways, return_exceptions=True)
        finally:
            writer.close()
            far_writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self._passes:
                self.held += 1
                continue
            writer.write(data)
        writer.close()
