"""`vipx doctor`: what this machine can run."""

from pathlib import Path

import click

from vipx.commands.options import JSON, PATH
from vipx.console import print_json, print_tree


@click.command()
@click.option("--bundle", type=PATH, help="Bundle to try the engines with [the demo's].")
@JSON
def doctor(bundle: Path | None, as_json: bool) -> None:
    """Say what this machine can run, and why not; exit with 5 if no engine works."""
    from vipx.demo import DEMO_BUNDLE
    from vipx.runtime.doctor import examine

    record = examine(bundle or DEMO_BUNDLE)
    if as_json:
        print_json(record)
    else:
        print_tree(record)
    if not any(check["works"] for check in record["engines"]):
        raise SystemExit(5)
