"""A clock and an engine whose speed the test sets, so that no test of timings depends on this machine."""

from collections.abc import Collection

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from vipx.errors import EngineError
from vipx.runtime.engines.engine import (
    ANSWER,
    BUILD_SECONDS,
    EngineDescription,
    EngineOptions,
    EngineRun,
    Model,
    Output,
    StageTimes,
)


class FakeClock:
    """Seconds that pass only when somebody works."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeEngine:
    """Answers 0.5 everywhere and takes the milliseconds of `speed`, in turn, for each image."""

    def __init__(
        self, model: Model, options: EngineOptions, clock: FakeClock, speed: list[float]
    ) -> None:
        self.model, self.options, self.clock, self.speed = model, options, clock, speed
        self.runs = self.closed = 0

    @property
    def description(self) -> EngineDescription:
        detail = {BUILD_SECONDS: "7.5"}
        return EngineDescription("onnxruntime", "9.9", "cpu", self.model.precision, "f32", detail)

    def run(
        self, images: UInt8[ndarray, "batch height width 3"], wanted: Collection[Output] = ANSWER
    ) -> EngineRun:
        assert not self.closed
        batch = len(images)
        if batch > self.options.batch:
            raise EngineError(f"opened for {self.options.batch}")
        spent = self.speed[self.runs % len(self.speed)] * batch
        self.runs += 1
        self.clock.now += spent / 1000
        height, width = self.model.size
        arrays = {
            "score": np.full(batch, 0.5, np.float32),
            "patch_map": np.full((batch, 2, 2), 0.5, np.float32),
            "anomaly_map": np.full((batch, height, width), 0.5, np.float32),
        }
        return EngineRun(arrays, StageTimes(encoder=0.9 * spent, heads=0.1 * spent))

    def close(self) -> None:
        self.closed = True


class FakeOpening:
    """Opens such engines in two seconds each, and keeps them."""

    def __init__(self, *speed: float, most: int | None = None) -> None:
        self.clock, self.speed, self.most = FakeClock(), list(speed), most
        self.opened: list[FakeEngine] = []

    def __call__(self, model: Model, options: EngineOptions) -> FakeEngine:
        if self.most is not None and options.batch > self.most:
            raise EngineError(f"no memory for a batch of {options.batch}")
        self.clock.now += 2.0
        self.opened.append(FakeEngine(model, options, self.clock, self.speed))
        return self.opened[-1]
