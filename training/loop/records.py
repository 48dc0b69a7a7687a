"""What a run writes down as it goes: CSV files, and TensorBoard's events where they are asked for."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, runtime_checkable

from vipx.errors import EngineError
from vipx.training.loop.step import TERMS
from vipx.training.loop.validation import Measured

STEPS = "metrics.csv"
MEASURES = "validation.csv"
COLUMNS: Mapping[str, tuple[str, ...]] = {
    STEPS: ("epoch", "step", *TERMS),
    MEASURES: ("epoch", "category", "image_auroc", "pixel_auroc", "aupro"),
}


@runtime_checkable
class Events(Protocol):
    """The part of TensorBoard's writer that is used."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Add a point to a curve."""

    def close(self) -> None:
        """Write what is pending."""


class Records:
    """A run's logs. What was written after the state that a run goes on from is cut off first."""

    def __init__(
        self, folder: Path, kept: Mapping[str, int] | None, step: int, *, tensorboard: bool
    ) -> None:
        """Open the files; `kept` says how much of each belongs to the state at `step`.

        Raises:
            EngineError: TensorBoard is asked for and its package is not installed.
        """
        self._folder = folder
        self._events = _events(folder, step) if tensorboard else None
        for name, columns in COLUMNS.items():
            path = folder / name
            if kept is None or not path.exists():
                path.write_text(",".join(columns) + "\n", encoding="utf-8")
            else:
                os.truncate(path, kept[name])

    def __enter__(self) -> "Records":
        """Use the files within a block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what is open."""
        if self._events is not None:
            self._events.close()

    def lengths(self) -> dict[str, int]:
        """Give the length of each file in bytes."""
        return {name: (self._folder / name).stat().st_size for name in COLUMNS}

    def steps(self, epoch: int, rows: Mapping[int, Sequence[float]]) -> None:
        """Write the terms of steps, by their number counted over all epochs."""
        self._append(STEPS, [(epoch, step, *terms) for step, terms in rows.items()])
        if self._events is not None:
            for step, terms in rows.items():
                for name, value in zip(TERMS, terms, strict=True):
                    self._events.add_scalar(f"train/{name}", value, step)

    def measures(self, epoch: int, step: int, measured: Measured) -> None:
        """Write the metrics of the held-out categories, and their mean."""
        rows = {**measured.categories, "mean": measured.mean}
        names = COLUMNS[MEASURES][2:]
        table = [
            (epoch, category, *("" if (v := getattr(one, n)) is None else v for n in names))
            for category, one in rows.items()
        ]
        self._append(MEASURES, table)
        for name in names if self._events is not None else ():
            value = getattr(measured.mean, name)
            if value is not None and self._events is not None:
                self._events.add_scalar(f"held out/{name}", value, step)

    def _append(self, name: str, rows: Sequence[Sequence[object]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        with (self._folder / name).open("a", encoding="utf-8", newline="") as file:
            file.write(text.getvalue())


def _events(folder: Path, step: int) -> Events:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise EngineError(
            "run.tensorboard: the Python package tensorboard is not installed; install it, "
            "or leave the option out"
        ) from error
    writer: Events = SummaryWriter(str(folder / "events"), purge_step=step)
    return writer
