"""What the command line writes: data to stdout, everything else to stderr."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from vipx.errors import EngineError, VipxError

if TYPE_CHECKING:
    from vipx.demo.command import DemoResult


class VipxGroup(click.Group):
    """A group whose commands end with one clear line and the documented exit code."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        """Run a command; a VipxError or exhausted memory is told, everything else keeps its traceback."""
        try:
            return super().invoke(ctx)
        except VipxError as error:
            warn(f"error: {error}")
            ctx.exit(error.exit_code)
        except MemoryError:
            warn(
                "error: out of memory; close other programs or use a smaller image size or precision"
            )
            ctx.exit(7)


def warn(message: str) -> None:
    """Write one line to stderr, even if a file name in it holds line breaks."""
    click.echo(f"vipx: {' '.join(message.splitlines())}", err=True)


def print_json(record: Mapping[str, Any]) -> None:
    """Write one JSON object on one line to stdout."""
    click.echo(json.dumps(record, ensure_ascii=False, allow_nan=False))


def print_tree(record: Mapping[str, Any], indent: str = "") -> None:
    """Write nested plain data for people: one `name: value` a line."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            click.echo(f"{indent}{name}:")
            print_tree(value, indent + "  ")
        elif isinstance(value, (list, tuple)) and any(isinstance(v, Mapping) for v in value):
            for item in value:
                click.echo(f"{indent}{name}:")
                print_tree(item, indent + "  - ") if isinstance(item, Mapping) else click.echo(item)
        else:
            text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
            click.echo(f"{indent}{name}: {text}")


def print_demo(result: "DemoResult") -> None:
    """Write the demo's table of verdicts and where its page is."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "kind",
        "threshold",
        "good, passed",
        "defective, found",
        title="Parts never seen in training",
    )
    for c in result.categories:
        good, defective = f"{c.good_passed} of {c.good}", f"{c.defective_found} of {c.defective}"
        table.add_row(c.category.replace("_", " "), f"{c.threshold:.4f}", good, defective)
    console = Console()
    console.print(table)
    for picture in result.pictures:
        if not picture.truth:
            click.echo(f"{picture.verdict.value:6}  {picture.score:.4f}  {picture.title}")
    click.echo(
        f"bundle verified; median {result.median_milliseconds:.1f} ms from pixels to heat map"
    )
    click.echo(f"page: {result.page}")


@contextmanager
def progress(title: str) -> Iterator[Callable[[str], None]]:
    """Show the step that runs on stderr; quiet where that is not a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status(title) as status:
        yield lambda step: status.update(f"{title}: {step}")


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Turn a missing package into one line that says which extra brings it.

    Raises:
        EngineError: A third-party package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if not error.name or error.name.split(".")[0] == "vipx":
            raise
        raise EngineError(
            f"the Python package {error.name} is not installed; "
            f"this command needs: pip install 'vipx[{extra}]'"
        ) from error
