"""Debian's broker as a child of the test, on a port of its own; and certificates of a plant's own authority."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BROKER = shutil.which("mosquitto", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
WITHIN_S = 20.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Look again and again; fails instead of hanging."""
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.01)


class Mosquitto:
    """A broker that can be killed, stopped in its tracks, and started again on the same port."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.port = free_port()
        self._file = folder / "mosquitto.conf"
        # `user root`: as root it would become a user who may not read the test's folder; else it has no effect.
        own = ("user root", f"listener {self.port} 127.0.0.1", "persistence false")
        access = () if any("password_file" in line for line in lines) else ("allow_anonymous true",)
        self._file.write_text("\n".join([*own, *access, *lines, ""]))
        self._child: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        assert BROKER is not None
        with (self._file.parent / "mosquitto.log").open("ab") as log:
            command = [BROKER, "-c", str(self._file)]
            self._child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        wait_until(self._answers, "mosquitto does not listen")

    def freeze(self) -> None:
        """From now on it takes connections and bytes, as the system does that for it, and answers nothing."""
        assert self._child is not None
        self._child.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def _answers(self) -> bool:
        assert self._child is not None
        assert self._child.poll() is None, (self._file.parent / "mosquitto.log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False


class Subscriber:
    """An unmodified paho client that keeps what comes; it comes back by itself when the broker does."""

    def __init__(self, port: int, topic: str, **login: str) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.took: list[bytes] = []
        self._topic, self._subscribed = topic, threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type]
        if login:
            self._client.username_pw_set(**login)
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_disconnect = lambda *_: self._subscribed.clear()
        self._client.on_message = lambda _, __, message: self.took.append(bytes(message.payload))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self.wait_until_subscribed()

    def wait_until_subscribed(self) -> None:
        assert self._subscribed.wait(WITHIN_S)

    def wait_for(self, count: int) -> list[bytes]:
        wait_until(lambda: len(self.took) >= count, f"{len(self.took)} of {count} messages came")
        return self.took

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: Any, *_: object) -> None:
        client.subscribe(self._topic, qos=1)


def certificates(folder: Path, *, name: str = "IP:127.0.0.1") -> dict[str, Path]:
    """Make an authority and a certificate that it signed; gives the paths of `ca`, `cert` and `key`."""
    openssl = shutil.which("openssl")
    assert openssl is not None
    folder.mkdir()
    at = {
        kind: folder / f"{kind}.pem" for kind in ("ca", "cakey", "cert", "key", "request", "more")
    }
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    more = ["-CAcreateserial", "-extfile", at["more"], "-out", at["cert"]]
    at["more"].write_text(f"subjectAltName={name}\n")
    for command in (
        ["req", "-x509", *key, "-subj", "/CN=plant", "-keyout", at["cakey"], "-out", at["ca"]],
        ["req", *key, "-subj", "/CN=broker", "-keyout", at["key"], "-out", at["request"]],
        ["x509", "-req", "-in", at["request"], "-CA", at["ca"], "-CAkey", at["cakey"], *more],
    ):
        subprocess.run([openssl, *map(str, command)], check=True, capture_output=True)
    return at
