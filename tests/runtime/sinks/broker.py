"""A broker that knows just enough of MQTT 3.1.1: CONNECT, PUBLISH with QoS 1, DISCONNECT; for one client."""

import socket
import threading


class Broker:
    """Keeps what was published; acknowledges only while `acknowledges`."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.published: list[tuple[str, bytes]] = []
        self.acknowledges = True
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listening.close()
        self._thread.join(timeout=5)

    def _serve(self) -> None:
        while True:
            try:
                self._listening.settimeout(0.1)
                connection, _ = self._listening.accept()
            except TimeoutError:
                if self._listening.fileno() < 0:
                    return
                continue
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                connection.settimeout(5)
                try:
                    while self._answer(connection, stream):
                        pass
                except OSError:
                    continue

    def _answer(self, connection: socket.socket, stream: "object") -> bool:
        read = stream.read  # type: ignore[attr-defined]
        first = read(1)
        if not first:
            return False
        body = read(_length(read))
        kind = first[0] >> 4
        if kind == 1:
            connection.sendall(b"\x20\x02\x00\x00")
        elif kind == 3:
            size = int.from_bytes(body[:2], "big")
            number = body[2 + size : 4 + size]
            if self.acknowledges:
                self.published.append((body[2 : 2 + size].decode(), body[4 + size :]))
                connection.sendall(b"\x40\x02" + number)
        elif kind == 12:
            connection.sendall(b"\xd0\x00")
        return kind != 14


def _length(read: "object") -> int:
    total, shift = 0, 0
    while True:
        byte = read(1)[0]  # type: ignore[operator]
        total |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return total
