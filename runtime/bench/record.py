"""What a benchmark found, as a record that later runs are compared with."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from vipx.errors import InputError
from vipx.manifest import Record, Sha256, first_fault

Stage = Literal[
    "decode",
    "resize",
    "host_to_device",
    "encoder",
    "prompts",
    "heads",
    "device_to_host",
    "total",
]
Count = Annotated[int, Field(ge=0)]
Milliseconds = Annotated[float, Field(ge=0.0)]


class SummaryRecord(Record):
    """Milliseconds of one stage over all iterations; `cv` is the deviation divided by the mean."""

    p50: Milliseconds
    p90: Milliseconds
    p95: Milliseconds
    p99: Milliseconds
    mean: Milliseconds
    min: Milliseconds
    max: Milliseconds
    cv: Annotated[float, Field(ge=0.0)]


class SubjectRecord(Record):
    """The bundle, and what it was given.

    Attributes:
        name: The bundle's, from its manifest.
        identity: sha256 of its manifest.
        method: What scores.
        backbone: Name of the CLIP.
        height: Of the model's input, in px.
        width: Of the model's input, in px.
        camera: Height and width of the frames that the graph resizes itself; None where the runtime does.
        images: How many pictures took turns.
        images_sha256: Of all their bytes, in turn; results on other pictures are not comparable.
    """

    name: str
    identity: Sha256
    method: str
    backbone: str
    height: Count
    width: Count
    camera: tuple[int, int] | None
    images: Count
    images_sha256: Sha256


class EngineRecord(Record):
    """What computed; `detail` is what the engine says of itself, `threads` what the user asked for."""

    engine: str
    version: str
    device: str
    precision: str
    arithmetic: str
    threads: int | None
    detail: dict[str, str]


class ProtocolRecord(Record):
    """How it was timed, as in `vipx.runtime.bench.protocol.Limits`."""

    seconds: float
    iterations: Count
    most_seconds: float
    warm_up_seconds: float
    warm_up_runs: Count


class LatencyRecord(Record):
    """One image at a time, from the file to the heat map.

    Attributes:
        iterations: That were counted.
        seconds: They took together.
        warm_up_runs: That were not counted.
        first: Milliseconds of the first run.
        stages: Each stage; `total` is the whole call by the clock, not the sum.
        notes: What was cut short.
    """

    iterations: Count
    seconds: float
    warm_up_runs: Count
    first: Milliseconds
    stages: dict[Stage, SummaryRecord]
    notes: tuple[str, ...]


class ThroughputRecord(Record):
    """Graphs alone on a batch of pixels; `reason` says why a batch size could not be run."""

    batch: Count
    run: SummaryRecord | None = None
    iterations: Count = 0
    images_per_second: float | None = None
    notes: tuple[str, ...] = ()
    reason: str | None = None


class LoadRecord(Record):
    """Seconds until the first image can come: hash the bundle, open the engine; `build` where it is built."""

    verify: float
    open: float
    build: float | None


class MemoryRecord(Record):
    """Bytes; None where this machine does not tell.

    Attributes:
        host_before: Resident before the bundle was opened: Python and what it had imported.
        host_peak: Highest resident size until the latency was measured.
        host_peak_batches: The same until the last batch was.
        device: That the whole device held more after the latency than before the bundle was opened.
    """

    host_before: int | None
    host_peak: int | None
    host_peak_batches: int | None
    device: int | None


class GpuRecord(Record):
    """The GPU that CUDA takes first."""

    name: str
    driver: str
    memory: int | None


class MachineRecord(Record):
    """What the figures were measured on; nothing in it names a person or a place.

    Attributes:
        processor: Its model.
        architecture: Such as `x86_64`.
        cores: That this process may use.
        memory: Bytes.
        gpu: None where there is none.
        jetson: Its model and release of L4T; None elsewhere.
        system: Kernel and C library.
        python: Its version.
        packages: Versions of what computes.
    """

    processor: str
    architecture: str
    cores: Count
    memory: int | None
    gpu: GpuRecord | None
    jetson: str | None
    system: str
    python: str
    packages: dict[str, str]


class ConditionsRecord(Record):
    """What changes from minute to minute; None where this machine does not tell.

    Attributes:
        load: Programs that were running or wanted to, mean of a minute.
        governor: Of the CPU's frequency.
        cpu_megahertz: Mean of all cores.
        celsius: Of the hottest zone.
        power_mode: Jetson's `nvpmodel`.
        jetson_clocks: Whether and how the clocks are held.
        gpu_megahertz: Of its multiprocessors.
        gpu_celsius: Of the GPU.
        gpu_throttle: Bits of NVML's clock event reasons.
    """

    load: float | None
    governor: str | None
    cpu_megahertz: float | None
    celsius: float | None
    power_mode: str | None
    jetson_clocks: str | None
    gpu_megahertz: int | None
    gpu_celsius: int | None
    gpu_throttle: int | None


class BenchRecord(Record):
    """Everything of one benchmark; `noise` says why its figures will not repeat, if they will not."""

    schema_version: Literal[1] = 1
    vipx_version: str
    created: str
    subject: SubjectRecord
    engine: EngineRecord
    protocol: ProtocolRecord
    latency: LatencyRecord
    throughput: tuple[ThroughputRecord, ...]
    load: LoadRecord
    memory: MemoryRecord
    machine: MachineRecord
    before: ConditionsRecord
    after: ConditionsRecord
    noise: tuple[str, ...]


def read_record(path: Path) -> BenchRecord:
    """Read what `vipx bench --out` wrote.

    Raises:
        InputError: The file cannot be read, or is no such record.
    """
    try:
        return BenchRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except ValidationError as error:
        raise InputError(
            f"{path}: no benchmark of this vipx ({first_fault(error)}); write one with vipx bench --out"
        ) from error
