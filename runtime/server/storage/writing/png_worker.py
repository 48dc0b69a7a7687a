"""The process that makes PNGs: frames in, files out, in the time that nobody else wants.

It imports little before it has stepped back, so that its start takes nothing from the engine either.
"""

import os
import signal
import socket
import struct
from contextlib import suppress
from typing import Final

SIZE: Final = struct.Struct("<II")  # height and width, before the pixels
LENGTH: Final = struct.Struct("<Q")  # of the file, before its bytes
_NICENESS: Final = 19


def main(descriptor: int) -> None:
    """Answer frames with PNGs until the server is gone; the server alone ends this process sooner."""
    _step_back()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as channel, suppress(ConnectionError):
        _serve(channel)
    os._exit(0)


def received(channel: socket.socket, length: int) -> bytearray:
    """Receive so many bytes.

    Raises:
        ConnectionError: The other end is gone.
        TimeoutError: It is silent for longer than the channel waits.
    """
    data = bytearray(length)
    rest = memoryview(data)
    while rest:
        count = channel.recv_into(rest)
        if count == 0:
            raise ConnectionError("the process that makes PNGs has ended")
        rest = rest[count:]
    return data


def _step_back() -> None:
    """Run only where a core has nothing else to do; answers took 2 ms longer with the least niceness alone."""
    if hasattr(os, "SCHED_IDLE"):
        with suppress(OSError):  # a container may forbid it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    os.nice(_NICENESS)


def _serve(channel: socket.socket) -> None:
    import numpy as np

    from vipx.runtime.server.storage.png import frame_png

    while True:
        height, width = SIZE.unpack(received(channel, SIZE.size))
        pixels = np.frombuffer(received(channel, height * width * 3), np.uint8)
        png = frame_png(pixels.reshape(height, width, 3))
        channel.sendall(LENGTH.pack(len(png)))
        channel.sendall(png)
