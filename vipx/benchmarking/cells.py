"""The cells of a sweep: what shall be measured, and what cannot be, with the reason."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from vipx.bundle import read_bundle
from vipx.manifest import Precision, Record
from vipx.runtime.bench.measurement import BenchOptions
from vipx.runtime.bench.record import BenchRecord
from vipx.runtime.engines.choice import candidates
from vipx.runtime.engines.engine import Arithmetic, EngineOptions

PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True, slots=True)
class Cell:
    """One bundle, precision, engine and arithmetic; `missing` says why it cannot be measured."""

    bundle: Path
    precision: Precision
    engine: EngineOptions
    missing: str | None = None

    @property
    def name(self) -> str:
        """Name it for a person."""
        engine = (
            f"{self.engine.engine} on {self.engine.device}" if self.engine.engine else "any engine"
        )
        beside = f" with {self.engine.arithmetic}" if self.engine.arithmetic != "f32" else ""
        return f"{self.bundle.name}, {self.precision}{beside}, {engine}"


class AccuracyRecord(Record):
    """The mean over the categories of a dataset, in [0, 1]; None where a metric is undefined."""

    dataset: str
    images: int
    image_auroc: float | None
    pixel_auroc: float | None
    aupro: float | None


class OutcomeRecord(Record):
    """What became of a cell: figures, or the reason why there are none."""

    bundle: str
    height: int
    width: int
    precision: str
    engine: str | None
    device: str | None
    arithmetic: str
    bench: BenchRecord | None = None
    accuracy: AccuracyRecord | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        """Name it in a few words, without the bundle."""
        beside = f"+{self.arithmetic}" if self.arithmetic != "f32" else ""
        return (
            f"{self.engine or 'any engine'} {self.device or ''} {self.precision}{beside}".replace(
                "  ", " "
            )
        )


def planned(bundles: Sequence[Path], options: BenchOptions) -> tuple[Cell, ...]:
    """List all combinations that the options leave open; nothing is left out in silence.

    Raises:
        BundleError: A bundle cannot be trusted.
    """
    wanted = PRECISIONS if options.precision is None else (options.precision,)
    return tuple(
        cell for bundle in bundles for each in wanted for cell in _of(bundle, each, options.engine)
    )


def _of(bundle: Path, precision: Precision, options: EngineOptions) -> list[Cell]:
    if read_bundle(bundle).manifest.encoder(precision) is None:
        reason = f"the bundle has no {precision} encoder; export it again with --precision"
        return [Cell(bundle, precision, options, reason)]
    cells = []
    for one in candidates(options, precision):
        exact = replace(options, engine=one.engine, device=one.device)
        for arithmetic in _arithmetics(exact):
            cells.append(
                Cell(bundle, precision, replace(exact, arithmetic=arithmetic), one.missing)
            )
    reason = f"{options.engine} does not run on {options.device}"
    return cells or [Cell(bundle, precision, options, reason)]


def _arithmetics(options: EngineOptions) -> tuple[Arithmetic, ...]:
    """Both where the engine has both; what the user asked for besides is left to fail with its reason."""
    if options.engine == "openvino" and options.arithmetic == "f32":
        return ("f32", "bf16")
    return (options.arithmetic,)
