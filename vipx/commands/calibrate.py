"""`vipx calibrate`: good images in, the recipe of one product out."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vipx.commands.options import JSON, PATH, PRECISION, engine_options
from vipx.commands.ranges import collect, keep, ranges_request, refuse_recipe_options
from vipx.console import needs, print_json, print_tree, progress, warn
from vipx.errors import UsageError

if TYPE_CHECKING:
    from vipx.calibration.calibrate import Calibration
    from vipx.calibration.ranges.request import RangesRequest
    from vipx.calibration.request import Request
    from vipx.calibration.thresholds.costs import Costs
    from vipx.ranges import Rule
    from vipx.runtime.engines.engine import EngineOptions


@click.command()
@click.argument("bundle", type=PATH, required=False)
@click.argument("good", type=PATH, required=False)
@click.option("-o", "--out", "recipe", type=PATH, help="Recipe to write, NAME.recipe.")
@click.option("--product", help="Its name [that of the recipe's file].")
@click.option("--author", help="Who calibrates [the user's name].")
@click.option(
    "--rate",
    type=float,
    help="Most good parts that may be NG [0.05, or the smallest that so few images prove].",
)
@click.option(
    "--confidence", type=float, default=0.95, show_default=True, help="That they are no more."
)
@click.option(
    "--by",
    "criteria",
    type=click.Choice(["score", "map", "both"]),
    default="both",
    show_default=True,
    help="What decides: the image's score, the heat map, or both.",
)
@click.option(
    "--minimal-area",
    "area",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Pixels of the model's input that make a defect.",
)
@click.option("--region", type=PATH, help="Where defects count: polygons (.json) or a white mask.")
@click.option("--leave-out", multiple=True, help="A good image to pass over, by its name.")
@click.option("--defects", type=PATH, help="Defective images; they change no limit without costs.")
@click.option(
    "--cost-miss",
    type=float,
    help="Of a defective part that is not NG: limits then lie where mistakes cost least.",
)
@click.option("--cost-false-alarm", type=float, help="Of a good part that is NG [1].")
@click.option("--prevalence", type=float, help="Share of the line's parts that are defective.")
@click.option("--fold-prompts", "fold", is_flag=True, help="One pair of texts for this product.")
@click.option("--stress", is_flag=True, help="Perturb the good images and judge them again.")
@click.option("--report", "page", type=PATH, help="HTML page; a .json is written beside it.")
@click.option(
    "--ranges", type=PATH, help="JSON to write for `vipx export --precision int8 --ranges`."
)
@click.option(
    "--range-rule",
    "rule",
    type=click.Choice(["max", "mse", "percentile"]),
    help="How a range follows from what was seen [max, with a tenth of margin].",
)
@click.option("--overwrite", is_flag=True, help="Replace the recipe (kept in its history), ranges.")
@click.option("--compare", nargs=2, type=PATH, help="Say how two recipes differ; nothing else.")
@PRECISION
@engine_options
@JSON
def calibrate(
    bundle: Path | None,
    good: Path | None,
    recipe: Path | None,
    ranges: Path | None,
    rule: "Rule | None",
    page: Path | None,
    compare: tuple[Path, Path] | None,
    as_json: bool,
    options: "EngineOptions",
    **choices: Any,  # noqa: ANN401 - one for each field of the request
) -> None:
    """Turn a folder of GOOD images into the recipe of one product for BUNDLE.

    Its limits hold the stated share of false alarms with the stated confidence. Exits with 6 if so few images
    cannot support the rate, or differ too much to share folded prompts.

    With --ranges, beside a recipe or without one, GOOD also gives what an INT8 encoder of BUNDLE needs.
    """
    if compare:
        _compare(compare, as_json)
        return
    if bundle is None or good is None or (recipe is None and ranges is None):
        raise click.UsageError(
            "expected BUNDLE, GOOD and -o RECIPE or --ranges FILE (or --compare OLD NEW)"
        )
    if rule is not None and ranges is None:
        raise click.UsageError("--range-rule: is how --ranges FILE are found; give both")
    asked = None
    if ranges is not None:
        asked = ranges_request((bundle, good, ranges), rule, options, choices)
    if recipe is not None:
        request = _request((bundle, good, recipe), options, choices)
        _recipe(request, page, asked, as_json)
    elif asked is not None:
        refuse_recipe_options()
        with progress("ranges") as report:
            found = collect(asked, report)
        keep(asked, found, as_json)


def _recipe(
    request: "Request", page: Path | None, asked: "RangesRequest | None", as_json: bool
) -> None:
    """Write a recipe, and ranges where they are asked for; a refusal of either leaves both unwritten."""
    with needs("calibrate"):
        from vipx.calibration.calibrate import calibrate as calibrated
        from vipx.calibration.content import past_recipes
        from vipx.calibration.report.writing import check_page, write_report

    if page:
        check_page(page)
    past_recipes(request)  # refuses what ranges would take minutes to come to
    with progress("calibrate") as report:
        found = None if asked is None else collect(asked, report)
        result = calibrated(request, report)
        if page:
            report("report")
            write_report(page, request, result)
    _tell(request.recipe, result, as_json)
    if asked is not None and found is not None:
        keep(asked, found, as_json)


def _request(
    paths: tuple[Path, Path, Path], options: "EngineOptions", choices: dict[str, Any]
) -> "Request":
    if paths[2].suffix != ".recipe":
        raise click.UsageError(f"{paths[2]}: expected a name that ends with .recipe")
    with needs("calibrate"):
        from vipx.calibration.limits import Wish
    from vipx.calibration.region import read_region
    from vipx.calibration.request import Request

    names = ("rate", "confidence", "criteria", "area")
    wish = Wish(**{name: choices.pop(name) for name in names})
    costs = _costs(choices)
    region, left_out = choices.pop("region"), choices.pop("leave_out")
    named: dict[str, Any] = {"product": choices.pop("product") or paths[2].stem}
    named |= {"author": choices.pop("author") or getpass.getuser()}
    bundle, good, recipe = paths
    return Request(
        bundle=bundle,
        good=good,
        recipe=recipe,
        **named,
        **choices,
        wish=wish,
        costs=costs,
        region=read_region(region) if region else None,
        left_out=left_out,
        options=options,
    )


def _costs(choices: dict[str, Any]) -> "Costs | None":
    """Take the three costs from the choices; there is no default for what only the line knows."""
    from vipx.calibration.thresholds.costs import Costs

    miss, alarm, prevalence = (
        choices.pop(name) for name in ("cost_miss", "cost_false_alarm", "prevalence")
    )
    if miss is None and alarm is None and prevalence is None:
        return None
    if miss is None or prevalence is None:
        raise UsageError("costs: expected both --cost-miss and --prevalence (and --defects)")
    return Costs(miss, prevalence, 1.0 if alarm is None else alarm)


def _tell(path: Path, result: "Calibration", as_json: bool) -> None:
    from vipx.calibration.report.labels import point_lines, sentence_of
    from vipx.calibration.report.record import calibration_record

    record = calibration_record(result)
    for warning in record["warnings"]:
        warn(warning)
    if as_json:
        print_json({"recipe": str(path)} | record)
        return
    click.echo(f"{path}: {record['product']}, {record['images']} good images")
    if record["costs"]:
        click.echo("  limits chosen by costs on labelled images, not by good images alone")
    for name, limit in record["limits"].items():
        click.echo(
            f"  {name}: NG from {limit['ng']:.4f} on, REVIEW from {limit['review']:.4f} on ({limit['kind']})"
        )
    lower, upper = record["false_alarms"]
    click.echo(f"  false alarms: {100 * lower:.2g} to {100 * upper:.2g} % of good parts")
    if result.labelled:
        click.echo("  labelled pictures, each judged by limits that were made without it:")
        for line in point_lines(result.labelled.left_out):
            click.echo(f"    {line}")
        if record["costs"]:
            click.echo(f"  {sentence_of(result.labelled, result.recipe.thresholds)}")


def _compare(paths: tuple[Path, Path], as_json: bool) -> None:
    with needs("calibrate"):
        from vipx.calibration.report.compare import compared
        from vipx.recipe import read_recipe

    record = compared(*(read_recipe(path) for path in paths))
    if as_json:
        print_json(record)
    else:
        print_tree(record)
