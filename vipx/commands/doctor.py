"""`vipx doctor`: what this machine can run."""

from pathlib import Path
from typing import Any

import click

from vipx.commands.options import JSON, PATH
from vipx.console import needs, print_json, print_tree


@click.command()
@click.option("--bundle", type=PATH, help="Bundle to try the engines with [the demo's].")
@JSON
def doctor(bundle: Path | None, as_json: bool) -> None:
    """Say what this machine can run, and why not; exit with 5 if no engine works.

    With --json it is one line to paste into a bug report: no user's name and no home folder is in it.
    """
    with needs("cpu"):
        from vipx.demo import DEMO_BUNDLE
        from vipx.runtime.doctor import examine

        record = examine(bundle or DEMO_BUNDLE)
    if as_json:
        print_json(record)
    else:
        _tell(record)
    if not any(check["works"] for check in record["engines"]):
        raise SystemExit(5)


def _tell(record: dict[str, Any]) -> None:
    """Print the machine, then a line an engine, then what to do."""
    rest = ("engines", "problems")
    known = {name: value for name, value in record.items() if name not in rest and value}
    state = {name: value for name, value in known.pop("state").items() if value is not None}
    print_tree(known | {"state": state})
    for check in record["engines"]:
        mark = "works" if check["works"] else "fails" if check["installed"] else "not here"
        by = f" by {check['provider']}" if check["provider"] else ""
        click.echo(f"{check['engine']} on {check['device']}{by}: {mark}; {check['detail']}")
    for each in record["problems"]:
        click.echo(f"problem: {each['problem']}\n  remedy: {each['remedy']}")
    if not record["problems"]:
        click.echo("no problems found")
