"""PNGs are made in a process of their own, which takes only the time that nobody else wants.

A thread of the server cannot step back like that: it would wait for a core while it holds the interpreter's
lock, and every answer with it.
"""

import socket
import subprocess
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from vipx.runtime.server.interpreters import start_interpreter
from vipx.runtime.server.storage.writing import png_worker
from vipx.runtime.server.storage.writing.png_worker import LENGTH, SIZE, received

_PATIENCE_S: Final = 120.0  # 12 megapixels take up to 0.7 s of a core, of which there may be little


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
            channel.sendall(SIZE.pack(*pixels.shape[:2]))
            channel.sendall(memoryview(pixels).cast("B"))
            (length,) = LENGTH.unpack(received(channel, LENGTH.size))
            return bytes(received(channel, length))
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
            ends = (theirs.fileno(),)
            self._process = start_interpreter(png_worker.__name__, ends, ends)
        return ours
