"""The command line: each command parses, calls one function and prints."""

import click

from vipx import __version__
from vipx.commands.bench import bench
from vipx.commands.build import build
from vipx.commands.calibrate import calibrate
from vipx.commands.client import client
from vipx.commands.data import data
from vipx.commands.demo import demo
from vipx.commands.doctor import doctor
from vipx.commands.drift import drift
from vipx.commands.engines import engines
from vipx.commands.evaluate import evaluate
from vipx.commands.export import export
from vipx.commands.metrics import metrics
from vipx.commands.predict import predict
from vipx.commands.serve_local import serve_local
from vipx.commands.show import show
from vipx.commands.train import train
from vipx.console import VipxGroup


@click.group(cls=VipxGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vipx")
def main() -> None:
    """Visual inspection without defect images: train, export, calibrate, inspect.

    Data goes to stdout, progress and errors to stderr. Exit codes: 0 ok, 1 unexpected, 2 usage, 3 input,
    4 checkpoint or bundle, 5 engine, 6 a gate failed, 7 resources, 10 NG found (predict --fail-on-ng).
    """


_COMMANDS = (
    bench,
    build,
    calibrate,
    client,
    data,
    demo,
    doctor,
    drift,
    engines,
    evaluate,
    export,
    metrics,
    predict,
    serve_local,
    show,
    train,
)

for command in _COMMANDS:
    main.add_command(command)
