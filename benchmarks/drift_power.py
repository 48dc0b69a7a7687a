"""Measures how often `vipx drift` alarms: after a shift of one standard deviation, and without any change.

    python -m benchmarks.drift_power [--lines 300]

Normal scores, one camera, the command's defaults. A line is calibrated with so many images; then 200 images are
looked at after a shift, or 50 days of 200 images without one. Before 2026-11 scores were compared by
Kolmogorov-Smirnov alone; that is computed beside it.
"""

import click
import numpy as np

from vipx.calibration.drift.comparison import Drift, Observed, Reference, Watch, compare
from vipx.calibration.drift.summaries import ScoreSummary

CALIBRATED = (40, 60, 100, 200)
DAYS, DAILY = 50, 200
ALONE = 0.05 / DAYS


@click.command()
@click.option("--lines", type=click.IntRange(min=1), default=300, show_default=True)
def main(lines: int) -> None:
    """Print the table of docs/thresholds.md."""
    click.echo(
        "| images at calibration | alarm after a shift | Kolmogorov-Smirnov alone | any alarm in 50 days |"
    )
    click.echo("|---|---|---|---|")
    for calibrated in CALIBRATED:
        looks = [_look(seed, calibrated, shift=1.0) for seed in range(lines)]
        seen = sum(found.advice == "recalibrate" for found in looks)
        alone = sum(found.looks[0].scores.p_value <= ALONE for found in looks)
        false = sum(_any_alarm(seed, calibrated) for seed in range(lines))
        click.echo(
            f"| {calibrated} | {seen} of {lines} | {alone} of {lines} | {false} of {lines} |"
        )


def _look(seed: int, calibrated: int, shift: float) -> Drift:
    generator = np.random.default_rng([seed, calibrated])
    known = Reference(ScoreSummary.of(generator.normal(size=calibrated)))
    return _compared(known, generator, shift)


def _compared(known: Reference, generator: np.random.Generator, shift: float) -> Drift:
    scores = generator.normal(shift, size=DAILY)
    return compare(known, [Observed(float(score)) for score in scores], Watch())


def _any_alarm(seed: int, calibrated: int) -> bool:
    generator = np.random.default_rng([seed, calibrated, DAYS])
    known = Reference(ScoreSummary.of(generator.normal(size=calibrated)))
    return any(_compared(known, generator, 0.0).advice == "recalibrate" for _ in range(DAYS))


if __name__ == "__main__":
    main()
