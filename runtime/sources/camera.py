"""A camera that OpenCV opens: USB, V4L2, RTSP or a video file; the newest frame, on trigger or in turn."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from vipx.errors import EngineError, ResourceError, UsageError, VipxError
from vipx.runtime.server.completion import completed
from vipx.runtime.sources.source import Deliver, Picture, SourceState

_STEP_S = 0.01


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """Which camera, and when it is looked at.

    Attributes:
        address: Number of a local camera, or what OpenCV opens: an RTSP address, a video file, a pipeline.
        name: For results and messages.
        interval_s: Between two pictures; None takes one only when it is triggered.
        stale_s: A frame older than this is not shown as the present one.
        retry_s: Pause before a lost camera is opened again.
        frame_s: Longest wait of a trigger for its frame.
    """

    address: int | str
    name: str = "camera"
    interval_s: float | None = None
    stale_s: float = 2.0
    retry_s: float = 2.0
    frame_s: float = 1.0

    def __post_init__(self) -> None:
        if self.interval_s is not None and not self.interval_s > 0:
            raise UsageError(f"{self.name}: expected an interval above 0 s, got {self.interval_s}")


def check_opencv() -> None:
    """Make sure that cameras can be opened at all.

    Raises:
        EngineError: OpenCV is not installed.
    """
    try:
        import cv2  # noqa: F401 - whether it is there
    except ModuleNotFoundError as error:
        raise EngineError(
            "the Python package cv2 is not installed; a camera needs: pip install 'vipx[camera]' "
            "(on Jetson: JetPack's own OpenCV)"
        ) from error


def open_capture(address: int | str) -> Any:  # noqa: ANN401 - cv2.VideoCapture, or a test's own
    """Open a camera with OpenCV.

    Raises:
        EngineError: OpenCV is not installed.
    """
    check_opencv()
    import cv2

    return cv2.VideoCapture(address)


class CameraSource:
    """Keeps the newest frame of a camera on a thread of its own; a lost camera is opened again.

    Frames are read as fast as they come: a driver's buffer would otherwise answer a trigger with the past.
    """

    def __init__(
        self,
        settings: CameraSettings,
        open_camera: Callable[[int | str], Any] = open_capture,
    ) -> None:
        self._settings, self._open = settings, open_camera
        self._frame: UInt8[ndarray, "height width 3"] | None = None
        self._taken_at = 0.0
        self._number = 0
        self._alarm: str | None = f"{settings.name}: not opened yet"
        self._trouble: str | None = None  # of the last picture
        self._delivered = self._failed = 0
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> SourceState:
        """Say how it is."""
        alarm = self._alarm or self._silence() or self._trouble
        return SourceState(self._settings.name, "camera", alarm, self._delivered, self._failed)

    def start(self) -> None:
        """Open the camera; one that is not there is an alarm, and tried again."""
        self._ended = (
            threading.Event()
        )  # a thread that hangs in its driver keeps its own, and ends by it
        self._thread = threading.Thread(
            target=self._follow, args=(self._ended,), name="vipx-camera", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Let go of the camera."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)

    async def run(self, deliver: Deliver) -> None:
        """Deliver a picture every `interval_s`, or only when triggered, until the task is cancelled."""
        self.start()
        try:
            while True:
                await asyncio.sleep(self._settings.interval_s or 3600.0)
                if self._settings.interval_s is not None:
                    await completed(self._deliver_one(deliver))
        finally:
            await asyncio.to_thread(self.close)

    async def picture(self, part_id: str = "", within_s: float | None = None) -> Picture:
        """Give a frame that was taken after this call: what a trigger asks for.

        Args:
            part_id: Of the part.
            within_s: Longest wait; None is as long as the settings say.

        Raises:
            ResourceError: None came in time.
        """
        with self._lock:
            asked = self._number
        wait_s = self._settings.frame_s if within_s is None else within_s
        end = time.monotonic() + wait_s
        # The next frame may have been exposed before the trigger; the one after it was not.
        while time.monotonic() < end:
            with self._lock:
                frame, number = self._frame, self._number
            if frame is not None and number >= asked + 2:
                self._delivered += 1
                return Picture(frame, part_id, f"camera:{self._settings.name}")
            await asyncio.sleep(_STEP_S)
        self._failed += 1
        reason = self._alarm or self._silence() or "it is slower than this; wait longer"
        raise ResourceError(f"{self._settings.name}: no frame within {wait_s:g} s ({reason})")

    async def _deliver_one(self, deliver: Deliver) -> None:
        with self._lock:
            frame, age = self._frame, time.monotonic() - self._taken_at
        if frame is None or age > self._settings.stale_s:
            return
        try:
            await deliver(Picture(frame, "", f"camera:{self._settings.name}"))
        except VipxError as error:
            self._failed += 1
            self._trouble = f"{self._settings.name}: {error}"
        else:
            self._delivered += 1
            self._trouble = None

    def _silence(self) -> str | None:
        """Say that an open camera gives nothing: its driver hangs, and no error comes from there."""
        with self._lock:
            age = time.monotonic() - self._taken_at
            stale = self._frame is not None and age > self._settings.stale_s
        return (
            f"{self._settings.name}: no frame for {age:.0f} s; check the camera" if stale else None
        )

    def _follow(self, ended: threading.Event) -> None:
        while not ended.is_set():
            try:
                self._read_until_lost(ended)
            except Exception as error:  # whatever a driver raises: the camera is opened again
                self._alarm = f"{self._settings.name}: {error}"
            ended.wait(self._settings.retry_s)

    def _read_until_lost(self, ended: threading.Event) -> None:
        camera = self._open(self._settings.address)
        try:
            if not camera.isOpened():
                self._alarm = (
                    f"{self._settings.name}: cannot be opened; check the cable and the address"
                )
                return
            while not ended.is_set():
                arrived, frame = camera.read()
                if not arrived:
                    self._alarm = f"{self._settings.name}: gives no more frames; it is opened again"
                    return
                self._keep(cast(ndarray, frame))
        finally:
            camera.release()

    def _keep(self, frame: ndarray) -> None:
        if frame.ndim == 2:  # grey cameras
            frame = np.repeat(frame[:, :, None], 3, axis=2)
        rgb = np.ascontiguousarray(frame[:, :, ::-1])  # OpenCV gives BGR
        with self._lock:
            self._frame, self._taken_at = rgb, time.monotonic()
            self._number += 1
        self._alarm = None
