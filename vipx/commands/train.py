"""`vipx train`: from images to checkpoints, by a file that holds every choice."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vipx.commands.options import JSON, PATH
from vipx.console import needs, print_json, print_tree, warn

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from vipx.training.loop.run import Watcher

# The common settings, each with the name it has in the file.
SHORTHANDS = {
    "dataset": "data.dataset",
    "root": "data.root",
    "backbone_weights": "backbone.weights",
    "epochs": "optimiser.epochs",
    "batch": "optimiser.batch",
    "seed": "optimiser.seed",
    "precision": "optimiser.precision",
    "device": "run.device",
    "cache": "run.cache_folder",
    "synthesize": "data.synthesize",
}


@click.command()
@click.argument("run_file", metavar="RUN.toml", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="Folder of the run.")
@click.option("--set", "changes", multiple=True, metavar="SECTION.NAME=VALUE", help="Any setting.")
@click.option("--dataset", help="Layout of the images.")
@click.option("--root", help="Folder of the dataset.")
@click.option("--backbone-weights", help="CLIP weights: JIT archive, state dict or safetensors.")
@click.option("--epochs", type=int, help="Passes over the images.")
@click.option("--batch", type=int, help="Images of a step, on all devices together.")
@click.option("--seed", type=int, help="Of parameters, order and drawn defects.")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), help="Of the towers.")
@click.option("--device", help="cpu, cuda or cuda:N; one that is not there is an error.")
@click.option("--cache", help="Folder of the features' cache [in the user's cache folder].")
@click.option("--no-cache", is_flag=True, help="Compute the features anew in every epoch.")
@click.option("--synthesize", type=float, help="Share of good images shown with a drawn defect.")
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard's events as well.")
@click.option("--resume", is_flag=True, help="Go on with the run in the output folder.")
@click.option("--ablation", metavar="TABLE", help="Train and measure the rows of a table instead.")
@JSON
def train(
    run_file: Path,
    output: Path,
    changes: tuple[str, ...],
    resume: bool,
    ablation: str | None,
    as_json: bool,
    **shorthands: Any,  # noqa: ANN401 - the settings of SHORTHANDS, by name
) -> None:
    """Train a method on a frozen backbone, as RUN.toml says; options are put over the file.

    Several devices: torchrun --nproc-per-node N -m vipx train RUN.toml -o DIR
    """
    with needs("train"):
        from vipx.training.loop.settings.file import settings_from_file
        from vipx.training.loop.training import train as run_training

    settings = settings_from_file(run_file, [*_changes(shorthands), *changes])
    with _watching("train") as watcher:
        if ablation is not None:
            from vipx.training.loop.ablations.driver import Ablation, run_ablation

            asked = Ablation(ablation, _paper(ablation))
            table = run_ablation(asked, settings, output, resume=resume, watcher=watcher)
            record = table.record()
        else:
            result = run_training(settings, output, resume=resume, watcher=watcher)
            record = result.record()
    if as_json:
        print_json(record)
    else:
        print_tree(record)


def _paper(ablation: str) -> tuple[dict[str, Any], ...]:
    """Read the rows that the paper prints for an ablation, where there are any."""
    import json
    from importlib.resources import files

    file = files("vipx.evaluation.paper").joinpath(f"{ablation}.json")
    if not file.is_file():
        return ()
    return tuple(json.loads(file.read_text(encoding="utf-8"))["rows"])


def _changes(given: dict[str, Any]) -> Iterator[str]:
    """Give the common settings' options in the form of --set."""
    import json

    for name, setting in SHORTHANDS.items():
        if given[name] is not None:
            yield f"{setting}={json.dumps(given[name], ensure_ascii=False)}"
    if given["no_cache"]:
        yield "run.cache=false"
    if given["tensorboard"]:
        yield "run.tensorboard=true"


class _Console:
    """Tells lines, and steps as a bar with the time left where stderr is a terminal."""

    def __init__(self, progress: "Progress | None", title: str) -> None:
        self._progress = progress
        self._title = title
        self._task: TaskID | None = None

    def say(self, line: str) -> None:
        """Write one line to stderr, above the bar."""
        warn(line)

    def step(self, done: int, steps: int, loss: float) -> None:
        """Move the bar."""
        if self._progress is None:
            return
        if self._task is None:
            self._task = self._progress.add_task(self._title)
        title = f"{self._title} {done}/{steps}, loss {loss:.4f}"
        self._progress.update(self._task, description=title, completed=done, total=steps)


@contextmanager
def _watching(title: str) -> "Iterator[Watcher]":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Console(None, title)
        return
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Console(progress, title)
