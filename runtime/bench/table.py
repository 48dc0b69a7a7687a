"""Shows benchmarks to people, in a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from vipx.runtime.bench.comparison import Change
from vipx.runtime.bench.record import BenchRecord, SummaryRecord

_FIGURES = tuple(SummaryRecord.model_fields)
_WIDTH = 100  # of lines that go to a file or a pipe
_MEGABYTE = 1e6


def print_record(record: BenchRecord) -> None:
    """Print the measured table, then what it depends on."""
    console = _console()
    console.print(_stages(record))
    console.print(_batches(record))
    for line in (*_facts(record), *record.latency.notes):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    for reason in record.noise:
        console.print(
            f"NOISY: {reason}; these figures may not repeat", soft_wrap=True, markup=False
        )


def print_changes(changes: Sequence[Change], remarks: Sequence[str]) -> None:
    """Print then and now side by side."""
    table = Table("p50", "baseline", "now", "slower by", title="Against the baseline")
    for change in changes:
        figures = (f"{value:.3f} {change.unit}" for value in (change.before, change.after))
        table.add_row(change.name, *figures, f"{change.worse:+.1%}")
    console = _console()
    console.print(table)
    for remark in remarks:
        console.print(remark, soft_wrap=True, markup=False, highlight=False)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


def _stages(record: BenchRecord) -> Table:
    table = Table("ms", title="One image at a time, measured here")
    for name in _FIGURES:
        table.add_column(name, justify="right")
    for stage, each in record.latency.stages.items():
        values = (getattr(each, name) for name in _FIGURES[:-1])
        row = (stage, *(f"{value:.3f}" for value in values), f"{each.cv:.1%}")
        table.add_row(*row, style="bold" if stage == "total" else None)
    return table


def _batches(record: BenchRecord) -> Table:
    table = Table("batch", "images/s", "p50 ms", "p99 ms", "CV", "runs", "", title="Graphs alone")
    for each in record.throughput:
        if each.run is None:
            table.add_row(str(each.batch), "-", "-", "-", "-", "-", each.reason)
            continue
        figures = (
            f"{each.images_per_second or 0:.2f}",
            f"{each.run.p50:.3f}",
            f"{each.run.p99:.3f}",
        )
        notes = "; ".join(each.notes)
        table.add_row(str(each.batch), *figures, f"{each.run.cv:.1%}", str(each.iterations), notes)
    return table


def _facts(record: BenchRecord) -> list[str]:
    engine, subject, machine, load = record.engine, record.subject, record.machine, record.load
    detail = "".join(f", {name} {value}" for name, value in engine.detail.items())
    build = "" if load.build is None else f", built in {load.build:.1f} s"
    camera = "" if subject.camera is None else " from {}x{} in the graph".format(*subject.camera)
    held = record.memory
    gpu = "" if machine.gpu is None else f", {machine.gpu.name} (driver {machine.gpu.driver})"
    return [
        f"{subject.name}: {subject.method}, {subject.backbone}, {subject.height}x{subject.width} px{camera}; "
        f"{subject.images} pictures in turn",
        f"{engine.engine} {engine.version} on {engine.device}, {engine.precision}, {engine.arithmetic}{detail}",
        f"{record.latency.iterations} iterations in {record.latency.seconds:.1f} s after "
        f"{record.latency.warm_up_runs} to warm up; the first took {record.latency.first:.1f} ms",
        f"verified in {load.verify:.2f} s, opened in {load.open:.2f} s{build}",
        f"memory: {_size(held.host_before)} before, {_size(held.host_peak)} at most with single images, "
        f"{_size(held.host_peak_batches)} with batches; device {_size(held.device)}",
        f"{machine.processor}, {machine.cores} cores, {_size(machine.memory)}{gpu}; {machine.system}",
        *_state(record),
    ]


def _state(record: BenchRecord) -> list[str]:
    before, after = record.before.model_dump(), record.after.model_dump()
    told = [
        f"{name} {_shown(value)}" + (f" -> {_shown(after[name])}" if after[name] != value else "")
        for name, value in before.items()
        if value is not None
    ]
    return ["state: " + ", ".join(told)] if told else []


def _shown(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _size(size: int | None) -> str:
    return "unknown" if size is None else f"{size / _MEGABYTE:.0f} MB"
