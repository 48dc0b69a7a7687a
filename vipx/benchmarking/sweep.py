"""Measures every cell of a sweep, each in a process of its own."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from vipx import __version__
from vipx.benchmarking.cells import Cell, OutcomeRecord, planned
from vipx.benchmarking.child import Answer, DataRequest, EngineRequest, Request
from vipx.bundle import read_bundle
from vipx.manifest import Record
from vipx.runtime.bench.machine import machine
from vipx.runtime.bench.measurement import BenchOptions
from vipx.runtime.bench.record import MachineRecord, ProtocolRecord

Report = Callable[[str], None]
Run = Callable[[Request], Answer]


class SweepRecord(Record):
    """All cells of a sweep, also those that could not be measured."""

    schema_version: Literal[1] = 1
    vipx_version: str
    created: str
    machine: MachineRecord
    outcomes: tuple[OutcomeRecord, ...]


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """What a sweep is about.

    Attributes:
        bench: What each cell measures; an engine, device or precision named there is the only one of its kind.
        images: Files that take turns; none takes each bundle's golden images.
        data: What accuracy is measured on, if at all.
    """

    bench: BenchOptions
    images: tuple[Path, ...] = ()
    data: DataRequest | None = None


def run_in_child(request: Request) -> Answer:
    """Measure a cell in a new process; one that dies without an answer is an answer too."""
    done = subprocess.run(
        [sys.executable, "-m", "vipx.benchmarking.child"],
        input=request.model_dump_json().encode(),
        capture_output=True,
        check=False,
    )
    try:
        return Answer.model_validate_json(done.stdout)
    except ValidationError:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        told = f": {last[0]}" if last else ""
        return Answer(reason=f"its process ended with {done.returncode}{told}")


def sweep(
    bundles: Sequence[Path],
    options: SweepOptions,
    report: Report = lambda _: None,
    run: Run = run_in_child,
) -> SweepRecord:
    """Measure bundles on every engine, in every precision and batch size.

    Raises:
        BundleError: A bundle cannot be trusted.
    """
    cells, outcomes = planned(bundles, options.bench), []
    for number, cell in enumerate(cells, start=1):
        report(f"{number} of {len(cells)}: {cell.name}")
        found = Answer(reason=cell.missing) if cell.missing else run(_request(cell, options))
        outcomes.append(_outcome(cell, found))
    return SweepRecord(
        vipx_version=__version__,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine=machine(),
        outcomes=tuple(outcomes),
    )


def _request(cell: Cell, options: SweepOptions) -> Request:
    engine = {name: getattr(cell.engine, name) for name in EngineRequest.model_fields}
    return Request(
        bundle=str(cell.bundle),
        images=tuple(str(path) for path in options.images),
        precision=cell.precision,
        engine=EngineRequest(**engine),
        batches=options.bench.batches,
        protocol=ProtocolRecord(**asdict(options.bench.limits)),
        noisy_above=options.bench.noisy_above,
        data=options.data,
    )


def _outcome(cell: Cell, found: Answer) -> OutcomeRecord:
    seen = read_bundle(cell.bundle).manifest.input
    return OutcomeRecord(
        bundle=cell.bundle.name,
        height=seen.height,
        width=seen.width,
        precision=cell.precision,
        engine=cell.engine.engine,
        device=cell.engine.device,
        arithmetic=cell.engine.arithmetic,
        bench=found.bench,
        accuracy=found.accuracy,
        reason=found.reason,
    )
