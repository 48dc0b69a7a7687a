"""`vipx demo`: drawn parts, inspected with the model inside vipx."""

from pathlib import Path

import click

from vipx.commands.options import JSON, PATH
from vipx.console import needs, print_demo, print_json, progress, warn


@click.command()
@click.argument("images", type=PATH, nargs=-1)
@click.option(
    "--parts", type=click.IntRange(1, 100), default=4, show_default=True, help="Parts of each kind."
)
@click.option(
    "-o",
    "--output",
    type=PATH,
    default=Path("vipx-demo.html"),
    show_default=True,
    help="The page.",
)
@click.option("--save-bundle", type=PATH, help="Leave the demo's bundle in this folder.")
@click.option("--save-images", type=PATH, help="Leave the drawn parts and masks in this folder.")
@click.option(
    "--save-weights", type=PATH, help="Leave the demo's backbone and checkpoint in this folder."
)
@JSON
def demo(
    images: tuple[Path, ...],
    parts: int,
    output: Path,
    save_bundle: Path | None,
    save_images: Path | None,
    save_weights: Path | None,
    as_json: bool,
) -> None:
    """Inspect drawn parts of kinds never seen in training, and IMAGES, with the model inside vipx."""
    with needs("cpu"):
        from vipx.demo.command import DemoRequest, run_demo

    request = DemoRequest(images, parts, output, save_bundle, save_images, save_weights)
    with progress("demo") as report:
        result = run_demo(request, report)
    for failure in result.failures:
        warn(f"error: {failure}")
    if as_json:
        print_json(result.record())
    else:
        print_demo(result)
    if result.failures:
        raise SystemExit(3)
