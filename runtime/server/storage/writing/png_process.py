"""PNGs are made in a process of their own, which takes only the time that nobody else wants.

A thread of the server cannot step back like that: it would wait for a core while it holds the interpreter's
lock, and every answer with it.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from vipx.runtime.server.storage.pictures import frame_png

_SIZE: Final = struct.Struct("<II")
_LENGTH: Final = struct.Struct("<Q")
_NICENESS: Final = 19
_PATIENCE_S: Final = 120.0  # 12 megapixels take 0.4 s of a core, of which there may be little
# Niceness first: what the imports take is not to be taken from the engine either.
_CODE: Final = (
    f"import json, os, sys; os.nice({_NICENESS}); sys.path[:] = json.loads(sys.argv[1]); "
    "from vipx.runtime.server.storage.writing.png_process import main; main(int(sys.argv[2]))"
)


class PngProcess:
    """Encodes frames one after the other; started with the first one, and again after it was lost.

    One thread encodes; any may kill.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """Give its process number; None before the first frame and after the process was lost."""
        return None if self._process is None else self._process.pid

    def encode(self, frame: UInt8[ndarray, "height width 3"]) -> bytes:
        """Give the frame as a PNG (`frame_png`).

        Raises:
            OSError: The process cannot be started, ended meanwhile, or does not answer.
        """
        pixels: Any = np.ascontiguousarray(frame)
        try:
            channel = self._channel or self._started()
            channel.sendall(_SIZE.pack(*pixels.shape[:2]))
            channel.sendall(memoryview(pixels).cast("B"))
            (length,) = _LENGTH.unpack(_received(channel, _LENGTH.size))
            return bytes(_received(channel, length))
        except OSError:
            self.close()
            raise

    def kill(self) -> None:
        """End the process; who waits for a PNG is told so."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the process and wait until it is gone."""
        self.kill()
        if self._process is not None:
            self._process.wait()
        if self._channel is not None:
            self._channel.close()
        self._process = self._channel = None

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.settimeout(_PATIENCE_S)
        self._channel = ours
        with theirs:
            paths = json.dumps([path for path in sys.path if path])
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _CODE, paths, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=2,  # stdout belongs to the server's caller
                pass_fds=(theirs.fileno(),),
            )
        return ours


def main(descriptor: int) -> None:
    """Answer frames with PNGs until the server is gone; the server alone ends this process sooner."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as channel, suppress(ConnectionError):
        while True:
            height, width = _SIZE.unpack(_received(channel, _SIZE.size))
            pixels = np.frombuffer(_received(channel, height * width * 3), np.uint8)
            png = frame_png(pixels.reshape(height, width, 3))
            channel.sendall(_LENGTH.pack(len(png)))
            channel.sendall(png)
    os._exit(0)


def _received(channel: socket.socket, length: int) -> bytearray:
    data = bytearray(length)
    rest = memoryview(data)
    while rest:
        count = channel.recv_into(rest)
        if count == 0:
            raise ConnectionError("the process that makes PNGs has ended")
        rest = rest[count:]
    return data
