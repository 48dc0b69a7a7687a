import asyncio
import threading
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response

from vipx.errors import ResourceError
from vipx.runtime.sources.camera import CameraSettings, CameraSource, open_capture
from vipx.runtime.sources.source import Picture
from vipx.runtime.sources.trigger import trigger_routes


class FakeCamera:
    """Gives `frames` frames, each one brighter, then none."""

    def __init__(self, frames: int = 10**9, *, opens: bool = True) -> None:
        self.left, self.opens, self.released = frames, opens, False
        self.number = 0

    def isOpened(self) -> bool:
        return self.opens

    def read(self) -> tuple[bool, Any]:
        threading.Event().wait(0.002)
        self.left -= 1
        self.number += 1
        frame = np.full((4, 6, 3), self.number % 256, np.uint8)
        frame[:, :, 0] = 7  # blue comes first
        return self.left >= 0, frame

    def release(self) -> None:
        self.released = True


def test_a_trigger_gets_a_frame_that_was_taken_after_it_in_rgb() -> None:
    camera = FakeCamera()

    async def run() -> tuple[Picture, int]:
        source = CameraSource(CameraSettings(0, "top"), lambda _: camera)
        source.start()
        await source.picture()
        before = camera.number
        picture = await source.picture("P-1")
        source.close()
        return picture, before

    picture, before = asyncio.run(run())
    assert isinstance(picture.image, np.ndarray)
    assert picture.image[0, 0, 2] == 7
    assert int(picture.image[0, 0, 0]) >= min(before, 250) % 256
    assert (picture.part_id, picture.source) == ("P-1", "camera:top")
    assert camera.released


def test_a_lost_camera_is_told_and_opened_again() -> None:
    cameras = [FakeCamera(opens=False), FakeCamera(3), FakeCamera()]

    async def run() -> CameraSource:
        source = CameraSource(CameraSettings(0, retry_s=0.01), lambda _: cameras.pop(0))
        source.start()
        while cameras:
            await asyncio.sleep(0.005)
        await source.picture(within_s=5.0)
        source.close()
        return source

    assert asyncio.run(run()).state.alarm is None


def test_a_camera_that_gives_nothing_is_an_error_not_an_old_frame() -> None:
    async def run() -> None:
        source = CameraSource(CameraSettings(0, retry_s=0.01), lambda _: FakeCamera(opens=False))
        source.start()
        try:
            with pytest.raises(ResourceError, match="cannot be opened"):
                await source.picture(within_s=0.1)
        finally:
            source.close()

    asyncio.run(run())


def test_pictures_come_in_turn_until_the_task_ends() -> None:
    taken: list[Picture] = []

    async def deliver(picture: Picture) -> None:
        taken.append(picture)

    async def run() -> None:
        source = CameraSource(CameraSettings(0, interval_s=0.01), lambda _: FakeCamera())
        task = asyncio.create_task(source.run(deliver))
        while len(taken) < 3:
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert all(picture.source == "camera:camera" for picture in taken)


def test_a_driver_that_hangs_is_told_although_nothing_fails() -> None:
    going_on = threading.Event()

    class Hanging(FakeCamera):
        def read(self) -> tuple[bool, Any]:
            if self.number >= 3:
                going_on.wait(10)
            return super().read()

    async def run() -> None:
        settings = CameraSettings(0, "top", stale_s=0.05, frame_s=0.1)
        source = CameraSource(settings, lambda _: Hanging())
        source.start()
        while "no frame for" not in (source.state.alarm or ""):
            await asyncio.sleep(0.01)
        with pytest.raises(ResourceError, match="no frame for"):
            await source.picture()
        going_on.set()
        while source.state.alarm is not None:
            await asyncio.sleep(0.01)
        source.close()

    asyncio.run(run())


def test_a_picture_that_is_refused_is_told_until_the_next_is_taken() -> None:
    refused = [ResourceError("the queue is full")]
    told: list[str | None] = []

    async def deliver(picture: Picture) -> None:
        if refused:
            raise refused.pop()
        told.append(source.state.alarm)

    source = CameraSource(CameraSettings(0, interval_s=0.02), lambda _: FakeCamera())

    async def run() -> None:
        task = asyncio.create_task(source.run(deliver))
        while len(told) < 2:
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert "the queue is full" in (told[0] or "")
    assert told[1] is None
    assert source.state.failed == 1


def test_a_bug_of_ours_is_no_alarm_of_the_camera() -> None:
    async def deliver(picture: Picture) -> None:
        raise ZeroDivisionError

    async def run() -> None:
        source = CameraSource(CameraSettings(0, interval_s=0.01), lambda _: FakeCamera())
        with pytest.raises(ZeroDivisionError):
            await source.run(deliver)

    asyncio.run(run())


def test_a_trigger_by_http_answers_with_the_verdict() -> None:
    async def answer(picture: Picture) -> Response:
        return JSONResponse({"verdict": "OK", "part_id": picture.part_id})

    async def run() -> None:
        source = CameraSource(CameraSettings(0, "top"), lambda _: FakeCamera())
        source.start()
        app = Starlette(routes=trigger_routes({"top": source}, answer))
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1"
        ) as client:
            good = await client.post("/v1/trigger/top", params={"part_id": "P-9"})
            assert good.json() == {"verdict": "OK", "part_id": "P-9"}
            assert (await client.post("/v1/trigger/none")).status_code == 404
            bad = await client.post("/v1/trigger/top", params={"part_id": "a\n"})
            assert bad.status_code == 400
            source.close()
            source._frame = None
            assert (await client.post("/v1/trigger/top")).status_code == 503

    asyncio.run(run())


def test_opencv_reads_a_real_file(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    path = str(tmp_path / "line.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (64, 48))
    for _ in range(20):
        writer.write(np.full((48, 64, 3), (10, 20, 200), np.uint8))  # BGR: red
    writer.release()

    async def run() -> Picture:
        source = CameraSource(CameraSettings(path, retry_s=0.01), open_capture)
        source.start()
        picture = await source.picture(within_s=10.0)
        await asyncio.to_thread(source.close)
        return picture

    image = asyncio.run(run()).image
    assert isinstance(image, np.ndarray)
    assert image.shape == (48, 64, 3)
    assert image[20, 30].tolist() == pytest.approx([200, 20, 10], abs=12)
