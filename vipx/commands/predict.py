"""`vipx predict`: a bundle answers for image files."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vipx.commands.options import JSON, PATH, PRECISION, engine_options
from vipx.console import needs, print_json, warn

if TYPE_CHECKING:
    from vipx.manifest import Precision
    from vipx.runtime.engines.engine import EngineOptions
    from vipx.runtime.inspector import Inspector
    from vipx.runtime.prediction import MapFormat, Row


@click.command()
@click.argument("bundle", type=PATH)
@click.argument("images", type=PATH, nargs=-1, required=True)
@click.option(
    "--threshold",
    type=float,
    help="Scores from here on are NG; without it and without a recipe all are REVIEW.",
)
@click.option("--recipe", "recipe_path", type=PATH, help="What `vipx calibrate` wrote.")
@click.option("--maps", type=PATH, help="Folder for heat maps.")
@click.option(
    "--map-format",
    type=click.Choice(["npy", "png", "both"]),
    default="npy",
    show_default=True,
    help="float32 at the model's size, an overlay at the image's, or both.",
)
@click.option("--camera", help="Name of the camera that took them, for each row of --json.")
@click.option(
    "--features",
    is_flag=True,
    help="Give each image's global feature in its row of --json, for `vipx drift`.",
)
@PRECISION
@engine_options
@click.option("--fail-on-ng", is_flag=True, help="Exit with 10 if any part is NG.")
@JSON
def predict(
    bundle: Path,
    images: tuple[Path, ...],
    threshold: float | None,
    recipe_path: Path | None,
    maps: Path | None,
    map_format: "MapFormat",
    camera: str | None,
    features: bool,
    precision: "Precision | None",
    options: "EngineOptions",
    fail_on_ng: bool,
    as_json: bool,
) -> None:
    """Inspect IMAGES (files or folders) with BUNDLE: score, verdict and heat map of each."""
    with needs("cpu"):
        from vipx.images import list_images
        from vipx.recipe import read_recipe
        from vipx.runtime.inspector import Inspector
        from vipx.runtime.prediction import MapWriter, Wanted, inspect_images

    if (camera or features) and not as_json:
        raise click.UsageError("--camera and --features go into rows of JSON; add --json")
    listing = list_images(images)
    if listing.passed_over:
        warn(f"{listing.passed_over} files that are no images were passed over")
    wanted = Wanted(MapWriter(maps, map_format) if maps else None, camera, features)
    recipe = read_recipe(recipe_path) if recipe_path else None
    with Inspector.open(
        bundle, precision=precision, threshold=threshold, recipe=recipe, options=options
    ) as inspector:
        warn(f"{bundle}: {inspector.description.line}")
        _warn_of_limits(inspector, threshold)
        rows = [_tell(row, as_json) for row in inspect_images(inspector, listing, wanted)]
    failures = {row.failure for row in rows if row.failure}
    if failures:
        raise SystemExit(3 if "input" in failures else 5)
    if fail_on_ng and any(row.verdict == "NG" for row in rows):
        raise SystemExit(10)


def _warn_of_limits(inspector: "Inspector", threshold: float | None) -> None:
    recipe, here = inspector.recipe, inspector.description
    if recipe is None:
        if threshold is None:
            warn("no threshold was given: every verdict is REVIEW")
        return
    there = recipe.engine
    if (here.engine, here.precision, here.arithmetic) != (
        there.engine,
        there.precision,
        there.arithmetic,
    ):
        warn(
            f"{recipe.product}: calibrated with {there.engine}, {there.precision}, {there.arithmetic}; "
            "scores near a limit may fall on its other side here"
        )


def _tell(row: "Row", as_json: bool) -> "Row":
    if row.failure:
        warn(f"error: {row.reason}")
    if as_json:
        print_json(row.record())
    else:
        score = "-" if row.score is None else f"{row.score:.4f}"
        causes = f"  ({', '.join(row.causes)})" if row.causes and row.product else ""
        click.echo(f"{row.verdict:6}  {score:>6}  {row.path}{causes}")
    return row
