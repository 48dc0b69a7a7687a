"""`vipx engines`: the TensorRT engines that were built on this machine."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from vipx.commands.options import JSON
from vipx.console import print_json, warn
from vipx.errors import UsageError

if TYPE_CHECKING:
    from vipx.runtime.engines.tensorrt.housekeeping import Entry


@click.group()
def engines() -> None:
    """List and remove the TensorRT engines of this machine."""


@engines.command("list")
@JSON
def list_(as_json: bool) -> None:
    """List the engines, the oldest first; each one's bytes are checked."""
    from vipx.runtime.engines.tensorrt.cache import open_cache
    from vipx.runtime.engines.tensorrt.housekeeping import list_engines

    cache = open_cache()
    listed = list_engines(cache)
    _print(listed, as_json)
    total = sum(entry.size for entry in listed)
    warn(f"{len(listed)} engines, {total / 2**20:.1f} MiB in {cache.root}")


@engines.command()
@click.option("--older-than", type=click.FloatRange(min=0), help="Days; older ones are removed.")
@click.option("--all", "everything", is_flag=True, help="Remove all.")
@JSON
def prune(older_than: float | None, everything: bool, as_json: bool) -> None:
    """Remove engines; without an option those that were changed, and are never loaded."""
    from vipx.runtime.engines.tensorrt.cache import open_cache
    from vipx.runtime.engines.tensorrt.housekeeping import prune_engines

    if everything and older_than is not None:
        raise UsageError("--all and --older-than contradict one another; pass one of them")
    removed = prune_engines(open_cache(), older_than, everything=everything, report=warn)
    _print(removed, as_json)
    total = sum(entry.size for entry in removed)
    warn(f"{len(removed)} engines removed, {total / 2**20:.1f} MiB")


def _print(entries: "tuple[Entry, ...]", as_json: bool) -> None:
    for entry in entries:
        if as_json:
            print_json(asdict(entry))
        elif entry.fault is not None:
            click.echo(f"{entry.key}  never loaded: {entry.fault}")
        else:
            click.echo(
                f"{entry.key}  {entry.role:8}  {entry.size / 2**20:8.1f} MiB  {entry.days:6.1f} days  "
                f"batch {entry.batch}  {entry.bundle}  TensorRT {entry.tensorrt}  {entry.gpu}"
            )
