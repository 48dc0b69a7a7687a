"""Measures one bundle on one engine: latency by stage, throughput by batch, load time, memory."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import get_args

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from vipx import __version__
from vipx.bundle import Bundle
from vipx.errors import EngineError, UsageError
from vipx.hashing import file_sha256
from vipx.images import read_image
from vipx.manifest import Precision
from vipx.runtime.bench import memory
from vipx.runtime.bench.machine import conditions, cores, machine
from vipx.runtime.bench.nvml import first_gpu
from vipx.runtime.bench.protocol import Clock, Limits, Once, Series, repeat
from vipx.runtime.bench.record import (
    BenchRecord,
    ConditionsRecord,
    EngineRecord,
    LatencyRecord,
    LoadRecord,
    MemoryRecord,
    ProtocolRecord,
    Stage,
    SubjectRecord,
    ThroughputRecord,
)
from vipx.runtime.bench.summary import noise, summary
from vipx.runtime.engines.choice import open_engine as open_best
from vipx.runtime.engines.engine import (
    BUILD_SECONDS,
    Engine,
    EngineDescription,
    EngineOptions,
    Model,
)
from vipx.runtime.engines.models import model_of
from vipx.runtime.inspector import Inspector, OpenEngine, prepared

STAGES: tuple[Stage, ...] = get_args(Stage)
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What is measured and for how long.

    Attributes:
        precision: Of the encoder; None takes the bundle's first.
        engine: Engine, device and threads; its batch does not count here.
        batches: Sizes of which the throughput is measured.
        limits: Of every timing.
        noisy_above: Most deviation divided by the mean that counts as quiet.
    """

    precision: Precision | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)
    batches: tuple[int, ...] = (1, 2, 4, 8)
    limits: Limits = field(default_factory=Limits)
    noisy_above: float = 0.05

    def __post_init__(self) -> None:
        if any(batch < 1 for batch in self.batches):
            raise UsageError(f"--batches: expected numbers from 1, got {list(self.batches)}")


@dataclass(frozen=True, slots=True)
class Means:
    """What measures: opens the graphs as the options say, gives seconds, is told each step before it starts."""

    open_engine: OpenEngine = open_best
    clock: Clock = perf_counter
    report: Report = lambda _: None


@dataclass(frozen=True, slots=True)
class _Latency:
    """What was found with one image at a time, and the state around it."""

    bundle: Bundle
    images: tuple[Path, ...]
    description: EngineDescription
    series: Series
    load: LoadRecord
    memory: MemoryRecord
    before: ConditionsRecord


def measure(
    path: Path,
    images: Sequence[Path] = (),
    options: BenchOptions = BenchOptions(),
    means: Means = Means(),
) -> BenchRecord:
    """Measure a bundle.

    Args:
        path: The bundle.
        images: Files that take turns; none takes the bundle's golden images.
        options: What and how long.
        means: What measures.

    Raises:
        BundleError: The bundle cannot be trusted.
        EngineError: The engine or the device is not there, or fails on single images.
        ImageError: An image cannot be read.
    """
    found = _latency(path, images, options, means)
    rates = tuple(_throughput(found, batch, options, means) for batch in options.batches)
    totals = found.series.rows[:, -1]
    return BenchRecord(
        vipx_version=__version__,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        subject=_subject(found.bundle, found.images),
        engine=_engine(found.description, options.engine),
        protocol=ProtocolRecord(**asdict(options.limits)),
        latency=_latency_record(found.series),
        throughput=rates,
        load=found.load,
        memory=found.memory.model_copy(update={"host_peak_batches": memory.peak()}),
        machine=machine(),
        before=found.before,
        after=conditions(),
        noise=noise(totals, options.noisy_above, found.before.load, cores()),
    )


class _TimedOpening:
    """Opens an engine and keeps how many seconds that took."""

    def __init__(self, means: Means) -> None:
        self._means, self.seconds = means, 0.0

    def __call__(self, model: Model, options: EngineOptions) -> Engine:
        start = self._means.clock()
        engine = self._means.open_engine(model, options)
        self.seconds = self._means.clock() - start
        return engine


def _latency(path: Path, given: Sequence[Path], options: BenchOptions, means: Means) -> _Latency:
    means.report("load")
    before, held, device = conditions(), memory.resident(), _device_bytes()
    opening, start = _TimedOpening(means), means.clock()
    inspector = Inspector.open(
        path,
        precision=options.precision,
        options=replace(options.engine, batch=1),
        open_engine=opening,
    )
    with inspector:
        opened, description = means.clock() - start, inspector.description
        files = tuple(given) or goldens(inspector.bundle)
        means.report("one image at a time")
        series = repeat(_inspecting(inspector, files), options.limits, means.clock)
        used = MemoryRecord(
            host_before=held,
            host_peak=memory.peak(),
            host_peak_batches=None,
            device=_more(device, _device_bytes()) if description.device == "cuda" else None,
        )
    load = LoadRecord(
        verify=opened - opening.seconds, open=opening.seconds, build=_build_seconds(description)
    )
    return _Latency(inspector.bundle, files, description, series, load, used, before)


def _inspecting(inspector: Inspector, files: Sequence[Path]) -> Once:
    def once(number: int) -> Sequence[float]:
        times = inspector.inspect(files[number % len(files)]).timings
        stages = times.stages
        return (
            times.decode,
            times.resize,
            stages.host_to_device,
            stages.encoder,
            stages.prompts,
            stages.heads,
            stages.device_to_host,
        )

    return once


def _throughput(
    found: _Latency, batch: int, options: BenchOptions, means: Means
) -> ThroughputRecord:
    """Run the graphs alone on one batch again and again; a size that fails is told with its reason."""
    means.report(f"batches of {batch}")
    fewest = min(10, options.limits.iterations)
    limits = replace(options.limits, iterations=max(fewest, options.limits.iterations // batch))
    model, engine_options = model_of(found.bundle, options.precision), options.engine
    try:
        engine = means.open_engine(model, replace(engine_options, batch=batch))
        with closing(engine):
            series = repeat(_running(engine, _pixels(found, batch)), limits, means.clock)
    except (EngineError, MemoryError) as error:
        return ThroughputRecord(batch=batch, reason=str(error) or "out of memory")
    run = summary(series.rows[:, -1])
    return ThroughputRecord(
        batch=batch,
        run=run,
        iterations=len(series.rows),
        images_per_second=1000 * batch / run.p50 if run.p50 else None,
        notes=series.notes,
    )


def _running(engine: Engine, pixels: UInt8[ndarray, "batch height width 3"]) -> Once:
    def once(number: int) -> Sequence[float]:
        engine.run(pixels)
        return ()

    return once


def _pixels(found: _Latency, batch: int) -> UInt8[ndarray, "batch height width 3"]:
    files, taken = islice(cycle(found.images), batch), found.bundle.manifest.input
    return np.stack([prepared(read_image(path), taken) for path in files])


def goldens(bundle: Bundle) -> tuple[Path, ...]:
    """Give the files of a bundle's golden images."""
    return tuple(bundle.path / name for name in bundle.manifest.goldens.images)


def _latency_record(series: Series) -> LatencyRecord:
    columns = zip(STAGES, series.rows.T, strict=True)
    return LatencyRecord(
        iterations=len(series.rows),
        seconds=series.seconds,
        warm_up_runs=series.warm_up_runs,
        first=series.first,
        stages={stage: summary(column) for stage, column in columns},
        notes=series.notes,
    )


def _subject(bundle: Bundle, files: Sequence[Path]) -> SubjectRecord:
    manifest, digest = bundle.manifest, hashlib.sha256()
    for path in files:
        digest.update(bytes.fromhex(file_sha256(path)))
    return SubjectRecord(
        name=manifest.name,
        identity=bundle.identity,
        method=manifest.method.name,
        backbone=manifest.backbone.name,
        height=manifest.input.height,
        width=manifest.input.width,
        camera=manifest.input.camera_size,
        images=len(files),
        images_sha256=digest.hexdigest(),
    )


def _engine(description: EngineDescription, options: EngineOptions) -> EngineRecord:
    return EngineRecord(
        engine=description.engine,
        version=description.version,
        device=description.device,
        precision=description.precision,
        arithmetic=description.arithmetic,
        threads=options.threads,
        detail=dict(description.detail),
    )


def _build_seconds(description: EngineDescription) -> float | None:
    told = description.detail.get(BUILD_SECONDS)
    return None if told is None else float(told)


def _device_bytes() -> int | None:
    with first_gpu() as gpu:
        return None if gpu is None else gpu.used()


def _more(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before
