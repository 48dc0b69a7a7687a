"""Watches some inputs of linear layers on one picture after another."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from vipx.calibration.ranges.linears import LinearInput
from vipx.errors import GateError
from vipx.images import ListedImage, read_image
from vipx.manifest import InputRecord
from vipx.ranges import (
    Extremes,
    Histogram,
    InputRange,
    RangeChoice,
    input_range,
    smoothing_from_extremes,
)
from vipx.runtime.engines.probes.probe import Probe
from vipx.runtime.inspector import prepared

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures on disk, read one at a time whenever they are walked, at the size that an encoder takes."""

    listed: tuple[ListedImage, ...]
    taken: InputRecord

    def walk(self, report: Report) -> Iterator[tuple[Path, UInt8[ndarray, "height width 3"]]]:
        """Read one after the other, and say which."""
        for place, image in enumerate(self.listed, 1):
            report(f"{place} of {len(self.listed)}: {image.relative.as_posix()}")
            yield image.path, prepared(read_image(image.path), self.taken)


@dataclass(frozen=True, slots=True)
class Group:
    """Inputs that are watched together, and the pictures on which they are."""

    inputs: tuple[LinearInput, ...]
    pictures: Pictures

    @property
    def tensors(self) -> list[str]:
        """Name them as the graph does."""
        return [each.tensor for each in self.inputs]

    def ranges(self, probe: Probe, choice: RangeChoice, report: Report) -> dict[str, InputRange]:
        """Find their ranges in two passes: one for shifts and divisors, one for the limits behind them."""
        name = f"{self.inputs[0].name} to {self.inputs[-1].name}"
        extremes: dict[str, Extremes] = {}
        for each, rows in self._seen(probe, lambda step: report(f"extremes, {name}: {step}")):
            seen = Extremes.of(rows)
            extremes.setdefault(each.name, seen).widen(seen)
        smoothings = {
            each.name: smoothing_from_extremes(
                each.part, extremes[each.name], each.most(), choice.alpha
            )
            for each in self.inputs
        }
        found = {each.name: Histogram() for each in self.inputs}
        for each, rows in self._seen(probe, lambda step: report(f"limits, {name}: {step}")):
            found[each.name].add(smoothings[each.name](rows))
        return {
            name: input_range(smoothings[name], histogram, choice.rule)
            for name, histogram in found.items()
        }

    def _seen(
        self, probe: Probe, report: Report
    ) -> Iterator[tuple[LinearInput, Float32[ndarray, "rows channels"]]]:
        for path, image in self.pictures.walk(report):
            for each, probed in zip(self.inputs, probe.run(image), strict=True):
                rows = probed.values.reshape(-1, each.channels)
                if not np.isfinite(rows).all():
                    raise GateError(
                        f"{path}: gives values that are not finite in {each.name} of the encoder; no "
                        "range fits them, and nothing was written"
                    )
                yield each, rows
