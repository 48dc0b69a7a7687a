"""Runs the rows of an ablation one after the other, measures each, and writes one table."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vipx.errors import UsageError
from vipx.files import write_atomically
from vipx.training.loop.ablations.results import (
    FIGURES,
    AblationTable,
    MeasuredRow,
    Percent,
    percent_from,
)
from vipx.training.loop.ablations.tables import Row, ablation_rows
from vipx.training.loop.devices import Place, place_from
from vipx.training.loop.preparation import prepare
from vipx.training.loop.run import Watcher
from vipx.training.loop.settings.configuration import EvaluationSettings, Settings
from vipx.training.loop.settings.file import record_from_settings, settings_from_record
from vipx.training.loop.state import STATE
from vipx.training.loop.training import RUN_FILE, claim, silent, trained
from vipx.training.loop.validation import measured_on


@dataclass(frozen=True, slots=True)
class Ablation:
    """Which ablation is asked for.

    Attributes:
        name: Such as `table4`.
        paper: The paper's rows, as the project's data files hold them; empty for none.
    """

    name: str
    paper: tuple[Mapping[str, Any], ...] = ()

    def printed(self, row: Row, dataset: str) -> Percent:
        """Give the paper's figures of a row on a dataset."""
        for one in self.paper:
            names = [one.get(key) for key in ("modules", "variant", "words")]
            if one.get("dataset") == dataset and row.printed and row.printed in names:
                return {name: one.get(name) for name in FIGURES}
        return {}


def run_ablation(
    ablation: Ablation, settings: Settings, folder: Path, *, resume: bool, watcher: Watcher
) -> AblationTable:
    """Train and measure every row; a row that was trained before is not trained again on `resume`.

    Every row is a run of its own, also where only the scoring differs. All rows share the features' cache.

    Raises:
        UsageError: There is no such ablation, or no [evaluation] to measure on.
    """
    rows = ablation_rows(ablation.name, settings)
    if settings.evaluation is None:
        raise UsageError(f"--ablation {ablation.name}: say in [evaluation] what measures the rows")
    with place_from(settings.run.device) as place:
        if place.first:
            claim(settings, folder, resume=resume)
            watcher.say(f"{ablation.name}: {len(rows)} rows, each trained anew")
        driver = _Driver(ablation, settings.evaluation, place, watcher)
        done = [driver.row(one, _changed(settings, one), folder / one.name) for one in rows]
        table = AblationTable(ablation.name, settings.evaluation.dataset, folder, tuple(done))
        if place.first:
            text = json.dumps(table.record(), indent=1)
            write_atomically(folder / f"{table.name}.json", text.encode())
            write_atomically(folder / f"{table.name}.csv", table.text().encode())
    return table


@dataclass(frozen=True, slots=True)
class _Driver:
    ablation: Ablation
    evaluation: EvaluationSettings
    place: Place
    watcher: Watcher

    def row(self, row: Row, settings: Settings, folder: Path) -> MeasuredRow:
        """Measure a row, or say why it cannot run; the other rows still can."""
        if self.place.first:
            self.watcher.say(f"{self.ablation.name}: {row.name}")
        printed = self.ablation.printed(row, self.evaluation.dataset)
        try:
            percent = self._percent(settings, folder)
        except UsageError as error:
            # Others may wait in the middle of a step; and a row that was begun must not change.
            if self.place.world > 1 or (folder / STATE).exists():
                raise
            self.watcher.say(f"{row.name} is left out: {error}")
            return MeasuredRow(row.name, row.changes, {}, printed, str(error))
        return MeasuredRow(row.name, row.changes, percent, printed)

    def _percent(self, settings: Settings, folder: Path) -> Percent:
        """Train, or take what an earlier run learned under the same settings, and measure."""
        begun = (folder / RUN_FILE).exists()
        self.place.wait()
        if self.place.first:
            claim(settings, folder, resume=True)
        prepared = prepare(settings, self.place, self.watcher.say if self.place.first else silent)
        trained(prepared, folder, resume=begun, watcher=self.watcher)
        percent: Percent = {}
        if self.place.first:
            percent = percent_from(measured_on(prepared.examples.evaluated, prepared).mean)
        self.place.wait()
        return percent


def _changed(settings: Settings, row: Row) -> Settings:
    changes = [f"{name}={json.dumps(value)}" for name, value in row.changes.items()]
    return settings_from_record(record_from_settings(settings), changes, row.name)
