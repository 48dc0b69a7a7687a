"""The part of `vipx calibrate` that writes ranges for INT8."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from vipx.console import needs, print_json

if TYPE_CHECKING:
    from vipx.calibration.ranges.request import RangesRequest
    from vipx.ranges import Ranges, Rule
    from vipx.runtime.engines.engine import EngineOptions

# All that can be asked of ranges; the other options of the command are the recipe's.
_OPTIONS = frozenset({
    "bundle", "good", "ranges", "rule", "leave_out", "overwrite", "precision", "as_json",
    "engine", "device", "threads", "arithmetic", "cuda_backend", "cuda_graph",
})  # fmt: skip


def refuse_recipe_options() -> None:
    """Refuse what only a recipe could follow, where none is written.

    Raises:
        click.UsageError: Such an option was given.
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) is not ParameterSource.DEFAULT
        if given and name not in _OPTIONS:
            raise click.UsageError(f"{parameter.opts[0]}: belongs to a recipe; give -o RECIPE, too")
    if context.params["precision"] not in (None, "fp32"):
        raise click.UsageError("--precision: ranges are those of the fp32 encoder; leave it out")


def ranges_request(
    paths: tuple[Path, Path, Path],
    rule: "Rule | None",
    options: "EngineOptions",
    choices: dict[str, Any],
) -> "RangesRequest":
    """Say what is asked of ranges; the paths are the bundle's, the pictures' and the file's."""
    with needs("calibrate"):
        from vipx.calibration.ranges.request import RangesRequest
        from vipx.ranges import RangeChoice

    bundle, good, file = paths
    return RangesRequest(
        bundle=bundle,
        good=good,
        file=file,
        choice=RangeChoice() if rule is None else RangeChoice(rule),
        left_out=choices["leave_out"],
        overwrite=choices["overwrite"],
        options=options,
    )


def collect(asked: "RangesRequest", report: Callable[[str], None]) -> "Ranges":
    """Watch the encoder; nothing is written yet."""
    with needs("calibrate"):
        from vipx.calibration.ranges.collect import collect_ranges

    return collect_ranges(asked, report)


def keep(asked: "RangesRequest", ranges: "Ranges", as_json: bool) -> None:
    """Write the file, and say what is in it."""
    from vipx.ranges import write_ranges

    write_ranges(asked.file, ranges)
    inputs = len(ranges.inputs)
    if as_json:
        about = {"images": ranges.images, "rule": ranges.rule, "alpha": ranges.alpha}
        print_json({"ranges": str(asked.file)} | about | {"inputs": inputs})
        return
    click.echo(
        f"{asked.file}: ranges of {inputs} inputs from {ranges.images} good images, by {ranges.rule}"
    )
