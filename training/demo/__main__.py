"""`python -m vipx.training.demo --out DIR` makes the demo's weights from nothing."""

from pathlib import Path

import click

from vipx.training.demo.plan import TINY, DemoPlan
from vipx.training.demo.stages import make_demo


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write to.")
@click.option("--tiny", is_flag=True, help="A run of seconds that learns nothing, to try the code.")
def main(out: Path, tiny: bool) -> None:
    """Draw the pool, train the backbone, train the heads."""
    make_demo(out, TINY if tiny else DemoPlan())


if __name__ == "__main__":
    main()
