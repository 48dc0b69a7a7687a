"""One child process, as the server holds it: started, written to, listened to, and ended for certain."""

import asyncio
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from time import monotonic

from vipx.runtime.server.interpreters import start_interpreter
from vipx.runtime.server.work.channel.messages import Message, Start, line_of, message_of
from vipx.runtime.server.work.channel.slots import Slots

_MAIN = "vipx.runtime.server.work.child.main"  # not imported: it brings the engines
_LINE_BYTES = 2**20
_REAP_S = 0.005


class ChildProcess:
    """A running child.

    Attributes:
        heard: When it last said anything, by the monotonic clock.
    """

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer
        self.heard = monotonic()

    @classmethod
    async def spawn(cls, start: Start, slots: Slots, count: int) -> "ChildProcess":
        """Start a child from a fresh interpreter and tell it what to open."""
        ours, theirs = socket.socketpair()
        with theirs:
            shared = (theirs.fileno(), slots.descriptor)
            # Not in a thread: Linux would end the child together with the thread that started it.
            process = start_interpreter(_MAIN, (*shared, count), shared)
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_LINE_BYTES)
        child = cls(process, reader, writer)
        child.send(start)
        return child

    @property
    def pid(self) -> int:
        """Give its process number."""
        return self._process.pid

    def send(self, message: Message) -> None:
        """Send a message; to a child that is gone it is lost, and `messages` has ended."""
        if not self._writer.is_closing():
            self._writer.write(line_of(message))

    async def messages(self) -> AsyncIterator[Message]:
        """Give what the child says until it is gone.

        Raises:
            ValueError: It said what is no message: its memory cannot be trusted.
        """
        while True:
            try:
                line = await self._reader.readline()
            except OSError:
                return
            if not line.endswith(b"\n"):
                return
            self.heard = monotonic()
            yield message_of(line)

    async def end(self) -> None:
        """Kill the child, whatever its state, and wait until it is gone."""
        self._process.kill()
        while self._process.poll() is None:
            await asyncio.sleep(_REAP_S)
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    def how_it_ended(self) -> str:
        """Say how the process ended, for a person."""
        code = self._process.poll()
        if code is None:
            return "the engine's process closed its line"
        if code < 0:
            return f"the engine's process was ended by {signal.Signals(-code).name}"
        return f"the engine's process ended with exit code {code}"
