"""Counts as Prometheus reads them: Triton's names with Triton's meaning, and our own."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, get_args

from vipx.runtime.server.app.counters import BUCKETS, Failure, ModelCounters
from vipx.runtime.server.app.inspection import Inspecting
from vipx.runtime.server.protocol.models import VERSION
from vipx.verdict import Verdict

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
Number = int | float


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of a family."""

    labels: Mapping[str, str]
    value: Number
    suffix: str = ""


def metrics_text(
    inspecting: Inspecting, models: Iterable[str], held_bytes: int, more: Iterable[str] = ()
) -> str:
    """Write all counts, and more lines behind them; a model that nobody asked yet counts zero."""
    counts = {name: inspecting.counters.of(name) for name in models}
    lines = [*_triton(counts), *_own(inspecting, counts, held_bytes), *more]
    return "\n".join(lines) + "\n"


def _triton(counts: Mapping[str, ModelCounters]) -> Iterator[str]:
    def each(of: "dict[str, Number]") -> list[Sample]:
        return [Sample(_model(name), value) for name, value in of.items()]

    def step(name: str) -> list[Sample]:
        return each({model: one.step_us[name] for model, one in counts.items()})

    yield from counter(
        "nv_inference_request_success",
        "Requests that were answered",
        each({name: one.success for name, one in counts.items()}),
    )
    yield from counter(
        "nv_inference_request_failure",
        "Requests that were not answered, by reason",
        [
            Sample(_model(name) | {"reason": reason}, one.failure[reason])
            for name, one in counts.items()
            for reason in get_args(Failure)
        ],
    )
    images = each({name: one.inferences for name, one in counts.items()})
    yield from counter("nv_inference_count", "Images that were answered", images)
    yield from counter("nv_inference_exec_count", "Runs of the engine", images)
    yield from counter(
        "nv_inference_request_duration_us",
        "Microseconds of answered requests",
        each({name: one.request_us for name, one in counts.items()}),
    )
    yield from counter("nv_inference_queue_duration_us", "Microseconds in the queue", step("queue"))
    yield from counter(
        "nv_inference_compute_input_duration_us", "Microseconds of preparation", step("preprocess")
    )
    yield from counter(
        "nv_inference_compute_infer_duration_us", "Microseconds of the engine", step("infer")
    )
    yield from counter(
        "nv_inference_compute_output_duration_us", "Microseconds of outputs", step("postprocess")
    )
    yield from gauge(
        "nv_inference_pending_request_count",
        "Requests that are being answered",
        each({name: one.pending for name, one in counts.items()}),
    )


def _own(
    inspecting: Inspecting, counts: Mapping[str, ModelCounters], held_bytes: int
) -> Iterator[str]:
    state = inspecting.work.state
    yield from counter(
        "vipx_verdicts_total",
        "Images by verdict",
        [
            Sample({"model": name, "verdict": verdict.value}, one.verdicts[verdict])
            for name, one in counts.items()
            for verdict in Verdict
        ],
    )
    yield from _histograms(counts)
    for name, text, value in (
        ("vipx_ready", "Whether the engine answers", int(inspecting.ready)),
        ("vipx_degraded", "Whether the fallback engine answers", int(state.degraded is not None)),
        ("vipx_queued", "Images that wait for the engine", state.queued),
        ("vipx_held_body_bytes", "Bytes of request bodies that are held", held_bytes),
    ):
        yield from gauge(name, text, [Sample({}, value)])
    yield from counter(
        "vipx_engine_restarts_total", "Restarts of the engine", [Sample({}, state.restarts)]
    )


def _histograms(counts: Mapping[str, ModelCounters]) -> Iterator[str]:
    samples = [one for name, model in counts.items() for one in _histogram(name, model)]
    yield from _family(
        "vipx_request_seconds", "Duration of answered requests", "histogram", samples
    )


def _histogram(name: str, counts: ModelCounters) -> Iterator[Sample]:
    total = 0
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts.buckets, strict=True):
        total += count
        yield Sample({"model": name, "le": bound}, total, "_bucket")
    yield Sample({"model": name}, counts.request_us / 1e6, "_sum")
    yield Sample({"model": name}, total, "_count")


def counter(name: str, text: str, samples: Iterable[Sample]) -> Iterator[str]:
    """Write a family of counts that only rise."""
    return _family(name, text, "counter", samples)


def gauge(name: str, text: str, samples: Iterable[Sample]) -> Iterator[str]:
    """Write a family of values."""
    return _family(name, text, "gauge", samples)


def _family(name: str, text: str, kind: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for sample in samples:
        labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in sample.labels.items())
        yield (
            f"{name}{sample.suffix}{{{labels}}} {sample.value}"
            if labels
            else (f"{name}{sample.suffix} {sample.value}")
        )


def _model(name: str) -> dict[str, str]:
    return {"model": name, "version": VERSION}


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
