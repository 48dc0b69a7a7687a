"""Compares a benchmark with an earlier one, and refuses what cannot be compared."""

from dataclasses import dataclass

from vipx.errors import GateError, UsageError
from vipx.runtime.bench.record import BenchRecord, Stage


@dataclass(frozen=True, slots=True)
class Change:
    """One figure then and now; `worse` is the share by which it got slower, below 0 if it got faster."""

    name: str
    unit: str
    before: float
    after: float
    worse: float


def differences(baseline: BenchRecord, record: BenchRecord) -> tuple[str, ...]:
    """Name what makes two benchmarks incomparable: another machine, model, picture or engine."""
    pairs = zip(_conditions(baseline), _conditions(record), strict=True)
    return tuple(f"{name}: {old}, now {new}" for (name, old), (_, new) in pairs if old != new)


def upgrades(baseline: BenchRecord, record: BenchRecord) -> tuple[str, ...]:
    """Name what a comparison may well be about: other versions of vipx, Python, drivers and packages."""
    return tuple(
        f"{name}: {old or 'none'}, now {new or 'none'}"
        for name, old, new in _versions(baseline, record)
        if old != new
    )


def compare(
    baseline: BenchRecord, record: BenchRecord, *, even_so: bool = False
) -> tuple[Change, ...]:
    """Set two benchmarks side by side: the whole call first, then its stages, then batches.

    Raises:
        UsageError: They are not of the same bundle, pictures, engine and machine, and not `even_so`.
    """
    apart = differences(baseline, record)
    if apart and not even_so:
        raise UsageError(
            f"the baseline cannot be compared ({'; '.join(apart)}); "
            "measure a new one, or pass --compare-different"
        )
    old, new = baseline.latency.stages, record.latency.stages
    stages: list[Stage] = ["total", *(name for name in new if name != "total")]
    changes = [
        Change(name, "ms", old[name].p50, new[name].p50, _worse(old[name].p50, new[name].p50))
        for name in stages
        if old[name].p50 or new[name].p50
    ]
    return (*changes, *_rates(baseline, record))


def gate(changes: tuple[Change, ...], most: float, noise: tuple[str, ...] = ()) -> None:
    """Refuse a regression of the whole call or of a batch; stages alone are shown and do not count.

    Args:
        changes: What `compare` gave.
        most: Share by which a figure may be slower.
        noise: Why the figures of either run may not repeat.

    Raises:
        GateError: A figure is slower than that.
    """
    failed = [c for c in changes if (c.name == "total" or c.unit == "images/s") and c.worse > most]
    if not failed:
        return
    told = "; ".join(
        f"{c.name} {c.before:.3g} -> {c.after:.3g} {c.unit}, {c.worse:+.1%}" for c in failed
    )
    doubt = f" (but the machine was noisy: {'; '.join(noise)})" if noise else ""
    raise GateError(
        f"slower than the baseline by more than {most:.1%}: {told}{doubt}; "
        "measure again on a quiet machine, or find what changed"
    )


def _rates(baseline: BenchRecord, record: BenchRecord) -> list[Change]:
    old = {one.batch: one.images_per_second for one in baseline.throughput}
    changes = []
    for one in record.throughput:
        before, after = old.get(one.batch), one.images_per_second
        if before and after:
            name = f"batch {one.batch}"
            changes.append(Change(name, "images/s", before, after, before / after - 1))
    return changes


def _worse(before: float, after: float) -> float:
    return after / before - 1 if before else float("inf") if after else 0.0


def _conditions(record: BenchRecord) -> list[tuple[str, object]]:
    subject, engine, machine = record.subject, record.engine, record.machine
    return [
        ("bundle", f"{subject.name} {subject.identity[:12]}"),
        ("camera", subject.camera),
        ("pictures", f"{subject.images} ({subject.images_sha256[:12]})"),
        ("engine", engine.engine),
        ("device", engine.device),
        ("precision", engine.precision),
        ("arithmetic", engine.arithmetic),
        ("threads", engine.threads or "all"),
        ("processor", machine.processor),
        ("architecture", machine.architecture),
        ("cores", machine.cores),
        ("GPU", None if machine.gpu is None else machine.gpu.name),
        ("Jetson", machine.jetson and machine.jetson.split(";")[0]),
        ("power mode", record.before.power_mode),
    ]


def _versions(old: BenchRecord, new: BenchRecord) -> list[tuple[str, str | None, str | None]]:
    packages = sorted({*old.machine.packages, *new.machine.packages})
    drivers = [None if r.machine.gpu is None else r.machine.gpu.driver for r in (old, new)]
    return [
        ("vipx", old.vipx_version, new.vipx_version),
        ("engine", old.engine.version, new.engine.version),
        ("python", old.machine.python, new.machine.python),
        ("driver", drivers[0], drivers[1]),
        *((p, old.machine.packages.get(p), new.machine.packages.get(p)) for p in packages),
    ]
