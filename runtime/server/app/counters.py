"""What is counted of every model's requests, for Triton's statistics and for Prometheus."""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from vipx.runtime.server.work.task import Outcome
from vipx.verdict import Verdict

# As Triton sorts failures: refused by the queue, given up by the client, failed in the engine, all else.
Failure = Literal["REJECTED", "CANCELED", "BACKEND", "OTHER"]
STEPS: Final = ("queue", "preprocess", "infer", "postprocess")
BUCKETS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds


@dataclass(slots=True)
class ModelCounters:
    """Counts of one model since the server started; durations in microseconds.

    Attributes:
        success: Requests that were answered.
        failure: Requests that were not, by reason.
        inferences: Images that the engine answered.
        pending: Requests that are being answered.
        request_us: From the request's acceptance to its answer.
        failed_us: The same of requests that failed.
        step_us: Of each step of the answered images.
        verdicts: Images by verdict.
        buckets: Requests by duration, as `BUCKETS` divides it; the last for everything longer.
        last: UTC milliseconds of the last answer.
    """

    success: int = 0
    failure: Counter[Failure] = field(default_factory=Counter)
    inferences: int = 0
    pending: int = 0
    request_us: int = 0
    failed_us: int = 0
    step_us: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    last: int = 0

    def add_outcome(self, outcome: Outcome) -> None:
        """Count one image that was answered."""
        self.verdicts[outcome.verdict] += 1
        if outcome.verdict is Verdict.ERROR:
            return
        self.inferences += 1
        for step in STEPS:
            self.step_us[step] += outcome.microseconds.get(step, 0)

    def add_success(self, seconds: float) -> None:
        """Count a request that was answered."""
        self.success += 1
        self.request_us += round(1e6 * seconds)
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.last = time.time_ns() // 1_000_000

    def add_failure(self, reason: Failure, seconds: float) -> None:
        """Count a request that was not."""
        self.failure[reason] += 1
        self.failed_us += round(1e6 * seconds)


class Counters:
    """Counts of all models; from the event loop's thread alone."""

    def __init__(self) -> None:
        self._models: dict[str, ModelCounters] = {}

    def of(self, model: str) -> ModelCounters:
        """Give a model's counts; zeros for one that nobody asked yet."""
        return self._models.setdefault(model, ModelCounters())

    @property
    def models(self) -> Mapping[str, ModelCounters]:
        """All models that were asked for, by name."""
        return self._models

    @contextmanager
    def pending(self, model: str) -> Iterator[ModelCounters]:
        """Count a request as pending until the block ends."""
        counts = self.of(model)
        counts.pending += 1
        try:
            yield counts
        finally:
            counts.pending -= 1


def statistics(name: str, version: str, counts: ModelCounters) -> dict[str, object]:
    """Give a model's counts as `GET /v2/models/NAME/stats` does; durations in nanoseconds."""
    failed = sum(counts.failure.values())
    return {
        "name": name,
        "version": version,
        "last_inference": counts.last,
        "inference_count": counts.inferences,
        "execution_count": counts.inferences,
        "inference_stats": {
            "success": _duration(counts.success, counts.request_us),
            "fail": _duration(failed, counts.failed_us),
            "queue": _duration(counts.inferences, counts.step_us["queue"]),
            "compute_input": _duration(counts.inferences, counts.step_us["preprocess"]),
            "compute_infer": _duration(counts.inferences, counts.step_us["infer"]),
            "compute_output": _duration(counts.inferences, counts.step_us["postprocess"]),
            "cache_hit": _duration(0, 0),
            "cache_miss": _duration(0, 0),
        },
        "batch_stats": [],
    }


def _duration(count: int, microseconds: int) -> dict[str, int]:
    return {"count": count, "ns": 1000 * microseconds}
