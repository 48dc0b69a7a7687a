"""The child's end of the pipe; several threads write, one reads."""

import socket
from collections.abc import Iterator
from threading import Lock

from vipx.runtime.server.work.channel.messages import Message, line_of, message_of


class Line:
    """A connected socket as lines of messages."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rb")
        self._writing = Lock()

    def send(self, message: Message) -> None:
        """Send a message, whole.

        Raises:
            OSError: The server is gone.
        """
        with self._writing:
            self._connection.sendall(line_of(message))

    def __iter__(self) -> Iterator[Message]:
        """Give messages until the server is gone."""
        for line in self._file:
            yield message_of(line)
