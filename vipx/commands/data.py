"""`vipx data check`: what is in a dataset and what is wrong with it; `vipx data draw`: parts to try it with."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vipx.commands.options import JSON, PATH
from vipx.console import print_json, progress, warn

if TYPE_CHECKING:
    from vipx.training.data.checking.report import DatasetReport

_SHOWN = 5


@click.group()
def data() -> None:
    """Look at datasets before training on them, or draw one; nothing is ever downloaded."""


@data.command()
@click.argument("name")
@click.argument("root", type=PATH)
@click.option(
    "--sheet", type=PATH, help="Write a contact sheet with outlined masks: a .png or .html file."
)
@JSON
def check(name: str, root: Path, sheet: Path | None, as_json: bool) -> None:
    """Read the dataset at ROOT in the layout NAME: counts, sizes, broken files, duplicates.

    NAME is that of a public dataset (mvtec, visa, btad, ...; docs/datasets.md lists all), or meta, folders
    or csv for your own. Exits with 3 if a file cannot be used.
    """
    from vipx.training.data.checking.report import check as checked
    from vipx.training.data.checking.sheet import check_ending, write_sheet
    from vipx.training.data.open import open_dataset

    if sheet:
        check_ending(sheet)
    with progress("data check") as report:
        report("listing")
        dataset = open_dataset(name, root)
        result = checked(dataset, report)
        if sheet:
            report("contact sheet")
            write_sheet(dataset, sheet)
    if as_json:
        print_json(result.record())
    else:
        _print(result)
    for finding in result.findings:
        if finding.unusable:
            warn(f"error: {finding.path}: {finding.reason}")
    if not result.usable:
        raise SystemExit(3)


@data.command()
@click.argument("out", type=PATH)
@click.option(
    "--categories",
    "names",
    metavar="seen|unseen|A,B,...",
    default="seen",
    show_default=True,
    help="Those that the demo's model was trained on, those that it never saw, or some by name.",
)
@click.option(
    "--each",
    type=click.IntRange(min=2),
    default=40,
    show_default=True,
    help="Parts of a category; every second one has a defect.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=2_000_000,
    show_default=True,
    help="First seed; each part has its own. The demo's training and `vipx eval` take others.",
)
@click.option(
    "--side",
    type=click.IntRange(min=32, max=4096),
    default=224,
    show_default=True,
    help="Height and width in pixels.",
)
@click.option("--overwrite", is_flag=True, help="Replace what is at OUT.")
def draw(out: Path, names: str, each: int, seed: int, side: int, overwrite: bool) -> None:
    """Draw industrial parts with exact masks into the folder OUT, in MVTec AD's layout (all are `test`).

    With them `vipx train` and `vipx eval` can be tried before any dataset is at hand. The same options draw
    the same pictures.
    """
    from vipx.folders import whole_folder
    from vipx.training.data.procedural import SEEN, UNSEEN, draw_part, write_parts

    known = {"seen": SEEN, "unseen": UNSEEN}
    categories = known.get(names) or tuple(name.strip() for name in names.split(","))
    with progress("data draw") as report, whole_folder(out, overwrite=overwrite) as folder:
        for category in categories:
            report(category)
            parts = (
                draw_part(
                    category,
                    seed + number,
                    height=side,
                    width=side,
                    defect="random" if number % 2 else None,
                )
                for number in range(each)
            )
            write_parts(folder, parts, "test")
    click.echo(f"{out}: {len(categories) * each} parts of {len(categories)} categories")


def _print(result: "DatasetReport") -> None:
    click.echo(f"{result.name}: {result.root}: {result.images} images")
    for count in result.counts:
        masks = f", {count.masks} masks" if count.kind != "good" else ""
        click.echo(f"  {count.category} / {count.split} / {count.kind}: {count.images}{masks}")
    sizes = result.sizes
    if sizes:
        smallest, largest, frequent = (
            f"{height} x {width}"
            for height, width in (sizes.smallest, sizes.largest, sizes.most_frequent)
        )
        click.echo(
            f"height x width in px: {smallest} to {largest}, most often {frequent} "
            f"({sizes.of_most_frequent} of {result.images}), {sizes.different} different"
        )
    _print_some("missing classes", result.missing)
    warnings = [f"{each.path}: {each.reason}" for each in result.findings if not each.unusable]
    _print_some("warnings", warnings)
    twice = result.duplicates
    _print_some("the same file in train and test", [", ".join(group) for group in twice.leaks])
    _print_some(
        "the same file as good and anomalous", [", ".join(group) for group in twice.contradictions]
    )
    _print_some("the same file repeated", [", ".join(group) for group in twice.repeated])
    _print_some(
        "look alike in test and train (a hint, by a hash of thumbnails)",
        [", ".join(pair) for pair in twice.look_alikes],
    )


def _print_some(title: str, lines: "list[str] | tuple[str, ...]") -> None:
    """Print how many there are and the first few; --json has them all."""
    if not lines:
        return
    click.echo(f"{title}: {len(lines)}")
    for line in lines[:_SHOWN]:
        click.echo(f"  {' '.join(line.splitlines())}")
    if len(lines) > _SHOWN:
        click.echo(f"  ... and {len(lines) - _SHOWN} more (--json lists all)")
