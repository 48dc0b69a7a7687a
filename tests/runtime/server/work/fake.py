"""Engines that are chosen by the child's test hook: quick, and sick on demand."""

import ctypes
import json
import os
import time
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from vipx.errors import EngineError
from vipx.images import read_image
from vipx.runtime.engines.engine import (
    ANSWER,
    EngineDescription,
    EngineOptions,
    EngineRun,
    Model,
    Output,
    StageTimes,
)

DEMO = Path(__file__).parents[4] / "vipx" / "demo" / "bundle.vipx"
SIDE = 160
HOOK = "tests.runtime.server.work.fake"
# The first pixel of an image is (255, 0, number of the fault).
FAULTS = (
    "none",
    "nan score",
    "nan map",
    "score above 1",
    "wrong shape",
    "missing output",
    "exception",
    "memory error",
    "real shortage",
    "exit",
    "hang",
    "hang with the lock",
    "hold 50 ms",
)


def image(grey: int = 100, fault: str = "none") -> UInt8[ndarray, "160 160 3"]:
    pixels = np.full((SIDE, SIDE, 3), grey, np.uint8)
    pixels[0, 0] = (255, 0, FAULTS.index(fault))
    return pixels


def score_of(pixels: UInt8[ndarray, "height width 3"]) -> float:
    return float(np.float32(pixels[5, 5, 0] / 255))


class FakeEngine:
    """Says the golden answers to the golden images, and to others how bright they are."""

    def __init__(
        self, model: Model, seconds: float = 0.0, shift: float = 0.0, is_sick: bool = True
    ) -> None:
        self._seconds, self._shift, self._model, self._is_sick = seconds, shift, model, is_sick
        manifest = json.loads((model.folder / "manifest.json").read_text())
        with np.load(model.folder / manifest["goldens"]["expected"]) as held:
            self._golden = {name: held[name] for name in ("score", "anomaly_map")}
        images = [read_image(model.folder / name) for name in manifest["goldens"]["images"]]
        self._places = {image.tobytes(): place for place, image in enumerate(images)}

    @property
    def description(self) -> EngineDescription:
        return EngineDescription("onnxruntime", "0", "cpu", self._model.precision)

    def run(
        self, images: UInt8[ndarray, "batch height width 3"], wanted: Collection[Output] = ANSWER
    ) -> EngineRun:
        time.sleep(self._seconds)
        golden = self._places.get(images[0].tobytes())
        if golden is not None:
            return self._golden_answer(golden)
        greys = images[:, 5, 5, 0].astype(np.float32) / np.float32(255)
        size = self._model.size
        arrays = {
            "score": greys,
            "anomaly_map": np.repeat(greys, size[0] * size[1]).reshape(-1, *size),
            "patch_map": np.repeat(greys, 100).reshape(-1, 10, 10),
        }
        first = images[0, 0, 0]
        if self._is_sick and first[0] == 255 and first[1] == 0 and first[2] < len(FAULTS):
            _SICK[FAULTS[first[2]]](arrays)
        return EngineRun(arrays, StageTimes(encoder=1000 * self._seconds))

    def _golden_answer(self, place: int) -> EngineRun:
        arrays = {name: held[place : place + 1] for name, held in self._golden.items()}
        arrays["score"] = arrays["score"] + np.float32(self._shift)
        arrays["patch_map"] = np.zeros((1, 10, 10), np.float32)
        return EngineRun(arrays, StageTimes())

    def close(self) -> None:
        pass


def open_fake(model: Model, options: EngineOptions) -> FakeEngine:
    return FakeEngine(model)


def open_sound(model: Model, options: EngineOptions) -> FakeEngine:
    """No image makes it sick."""
    return FakeEngine(model, is_sick=False)


def open_slow(model: Model, options: EngineOptions) -> FakeEngine:
    return FakeEngine(model, seconds=0.05)


def open_wrong(model: Model, options: EngineOptions) -> FakeEngine:
    return FakeEngine(model, shift=0.01)


def open_fading(model: Model, options: EngineOptions) -> FakeEngine:
    """Its goldens hold at the start, when they are answered twice, and never again."""
    return FadingEngine(model)


class FadingEngine(FakeEngine):
    def _golden_answer(self, place: int) -> EngineRun:
        run = super()._golden_answer(place)
        self._answers = getattr(self, "_answers", 0) + 1
        if self._answers >= 2 * len(self._places):
            self._shift = 0.01
        return run


def open_by_threads(model: Model, options: EngineOptions) -> FakeEngine:
    """One thread works, two give goldens that do not hold, three do not start."""
    if options.threads == 3:
        raise EngineError("three threads do not start")
    return FakeEngine(model, shift=0.01 if options.threads == 2 else 0.0)


def _fill(name: str, value: float) -> Callable[[dict[str, ndarray]], None]:
    def fill(arrays: dict[str, ndarray]) -> None:
        arrays[name][..., -1:] = value

    return fill


def _raise(error: Exception) -> Callable[[dict[str, ndarray]], None]:
    def fail(arrays: dict[str, ndarray]) -> None:
        raise error

    return fail


def _misshape(arrays: dict[str, ndarray]) -> None:
    arrays["anomaly_map"] = arrays["anomaly_map"][:, :-1]


def _hang_with_the_lock(arrays: dict[str, ndarray]) -> None:
    ctypes.PyDLL(None).sleep(1000)


_SICK: dict[str, Callable[[dict[str, ndarray]], object]] = {
    "none": lambda arrays: None,
    "nan score": _fill("score", float("nan")),
    "nan map": _fill("anomaly_map", float("nan")),
    "score above 1": _fill("score", 1.5),
    "wrong shape": _misshape,
    "missing output": lambda arrays: arrays.pop("anomaly_map"),
    "exception": _raise(EngineError("the device is lost")),
    "memory error": _raise(MemoryError("out of memory")),
    "real shortage": lambda arrays: np.ones(2**32),
    "exit": lambda arrays: os._exit(9),
    "hang": lambda arrays: time.sleep(1000),
    "hang with the lock": _hang_with_the_lock,
    "hold 50 ms": lambda arrays: time.sleep(0.05),
}
