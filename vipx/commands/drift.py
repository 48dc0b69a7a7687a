"""`vipx drift`: does the line still look as it did when its recipe was made?"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vipx.commands.options import JSON, PATH
from vipx.console import needs, print_json, warn

if TYPE_CHECKING:
    from vipx.calibration.drift.comparison import Drift, Look

ADVICE = {
    "recalibrate": "recalibrate: the line has changed, the recipe's thresholds no longer hold",
    "keep": "keep the recipe: no change was found",
    "collect": "collect more images: some cameras could not be looked at",
}


@click.command()
@click.argument("recipe", type=PATH)
@click.option(
    "--scores", type=PATH, required=True, help="JSON lines of `vipx predict --json`, or CSV."
)
@click.option(
    "--window", type=int, default=200, show_default=True, help="Latest images of one look."
)
@click.option(
    "--every", type=int, default=50, show_default=True, help="Images from one look to the next."
)
@click.option(
    "--looks", type=int, default=50, show_default=True, help="Looks of one period, such as days."
)
@click.option(
    "--false-alarms",
    type=float,
    default=0.05,
    show_default=True,
    help="Probability of any alarm in a period without change.",
)
@click.option("--fail-on-drift", is_flag=True, help="Exit with 6 if the advice is to recalibrate.")
@JSON
def drift(
    recipe: Path,
    scores: Path,
    window: int,
    every: int,
    looks: int,
    false_alarms: float,
    fail_on_drift: bool,
    as_json: bool,
) -> None:
    """Compare a line's SCORES with RECIPE's good images; says recalibrate or keep, and changes nothing."""
    with needs("calibrate"):
        from vipx.calibration.drift.comparison import Reference, Watch, compare
        from vipx.calibration.drift.observations import read_observations
    from vipx.recipe import read_recipe

    fewest = min(Watch().fewest, window)
    watch = Watch(window, every, fewest, looks, false_alarms)
    summary = read_recipe(recipe).summary
    reference = Reference.from_records(summary.scores, summary.features)
    observed = read_observations(scores)
    if observed.passed_over:
        warn(f"{observed.passed_over} rows without a score were passed over")
    found = compare(reference, observed.images, watch)
    print_json(found.record()) if as_json else _tell(found)
    if fail_on_drift and found.advice == "recalibrate":
        raise SystemExit(6)


def _tell(found: "Drift") -> None:
    click.echo(ADVICE[found.advice])
    for sentence in found.evidence:
        click.echo(f"  {sentence}")
    last = {look.camera: look for look in found.looks}
    for camera, images in found.images.items():
        name = f"camera {camera}" if camera else "all images"
        click.echo(f"{name}: {images} images, {_line(last.get(camera))}")
    click.echo(
        f"alarm level {found.level:.1e}: with no change, any alarm in {found.period} looks "
        f"has a probability of at most {found.false_alarms:g}"
    )


def _line(look: "Look | None") -> str:
    if look is None:
        return "no look"
    features = f", features p = {look.features.p_value:.1e}" if look.features else ""
    return (
        f"last look at {look.first} to {look.last}: median {look.scores.median:.4g} "
        f"(was {look.scores.calibrated:.4g}), scores p = {look.scores.lowest:.1e}{features}"
    )
