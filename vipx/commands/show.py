"""`vipx show`: what is in a bundle, a checkpoint or a recipe."""

from pathlib import Path

import click

from vipx.commands.options import JSON, PATH
from vipx.console import needs, print_json, print_tree


@click.command()
@click.argument("path", type=PATH)
@JSON
def show(path: Path, as_json: bool) -> None:
    """Verify a bundle, a checkpoint, a recipe or a published .pth at PATH, and say what is in it."""
    if path.is_file() and path.suffix != ".recipe":
        with needs("train"):
            from vipx.training.methods.checkpoints import describe_published

            record = describe_published(path)
    else:
        from vipx.describe import describe

        record = describe(path)
    if as_json:
        print_json(record)
    else:
        print_tree(record)
