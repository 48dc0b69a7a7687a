"""`vipx eval`: how good a checkpoint or a bundle is on a dataset, and how two evaluations differ."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vipx.commands.options import AUPRO, JSON, PATH, PRECISION, engine_options
from vipx.console import needs, print_json, progress, warn
from vipx.errors import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from vipx.evaluation.evaluation import Evaluation
    from vipx.evaluation.results import Results
    from vipx.manifest import Precision
    from vipx.runtime.engines.engine import EngineOptions
    from vipx.training.metrics import AuproMode


def _names(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    """Read `bottle,cable`."""
    if value is None:
        return None
    names = tuple(name.strip() for name in value.split(","))
    if not all(names):
        raise click.BadParameter("expected names with commas, such as bottle,cable")
    return names


@click.command("eval")
@click.argument("model", type=PATH, required=False, metavar="[CHECKPOINT_OR_BUNDLE]")
@click.option(
    "--dataset", help="Layout of --root, such as mvtec; `procedural` draws its own parts."
)
@click.option("--root", type=PATH, help="The dataset's folder.")
@click.option("--categories", callback=_names, help="Some of them, with commas [all].")
@click.option(
    "--split",
    type=click.Choice(["train", "test"]),
    default="test",
    show_default=True,
    help="Which.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), help="Most pictures of a category, spread evenly."
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="First seed of `procedural` parts [1000000]."
)
@click.option("--backbone-weights", type=PATH, help="A checkpoint's CLIP weights.")
@click.option("--backbone", help="A checkpoint's CLIP by its open_clip name.")
@click.option("--pretrained", help="open_clip weights of --backbone.")
@PRECISION
@engine_options
@AUPRO
@click.option("--out", type=PATH, help="Folder for results.json, CSV and report.html.")
@click.option("--overwrite", is_flag=True, help="Replace what is at --out.")
@click.option(
    "--compare",
    type=PATH,
    nargs=2,
    metavar="A B",
    help="Two results.json (or their folders), instead of a model.",
)
@JSON
def evaluate(
    model: Path | None,
    compare: tuple[Path, Path] | None,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
    **choices: Any,  # noqa: ANN401 - what a model and a dataset are chosen by
) -> None:
    """Measure a checkpoint or a bundle on a dataset, or compare two evaluations with --compare."""
    if compare is not None:
        if model is not None or choices["dataset"] is not None:
            raise click.UsageError("--compare takes two results, and neither a model nor a dataset")
        _compare(compare, out, overwrite=overwrite, as_json=as_json)
        return
    if model is None or choices["dataset"] is None:
        raise click.UsageError("expected a checkpoint or a bundle, and --dataset")
    if out is not None and out.exists() and not overwrite:  # hours may pass until it is written
        raise UsageError(f"{out}: already exists; choose another name or pass --overwrite")
    from vipx.bundle import MANIFEST

    # A checkpoint runs in PyTorch, a bundle without it.
    with needs("eval" if (model / MANIFEST).is_file() else "export"):
        from vipx.evaluation.report.writing import write_evaluation

        found = _evaluated(model, **choices)
    if out is not None:
        write_evaluation(out, found, overwrite=overwrite)
    if as_json:
        print_json(found.results.model_dump(mode="json"))
    else:
        _tell(found.results)


def _evaluated(
    model: Path,
    *,
    mode: "AuproMode",
    precision: "Precision | None",
    options: "EngineOptions",
    **rest: Any,  # noqa: ANN401 - the fields of BackboneFiles and DataChoice, by name
) -> "Evaluation":
    from vipx.evaluation.evaluation import evaluate
    from vipx.evaluation.predictors import BackboneFiles, ModelChoice, open_predictor
    from vipx.evaluation.sources import DataChoice, open_source

    backbone = (rest.pop(name) for name in ("backbone_weights", "backbone", "pretrained"))
    choice = ModelChoice(model, BackboneFiles(*backbone), precision, options)
    source = open_source(DataChoice(**rest))
    for problem in source.problems:
        warn(f"{problem.path}: {problem.reason}")
    with progress("eval") as report, open_predictor(choice) as predictor:
        return evaluate(predictor, source, mode, report)


def _compare(paths: tuple[Path, Path], out: Path | None, *, overwrite: bool, as_json: bool) -> None:
    with needs("eval"):
        from vipx.evaluation.comparison import compared
        from vipx.evaluation.report.writing import write_comparison
        from vipx.evaluation.results import read_results

    first, second = (read_results(path) for path in paths)
    comparison = compared(first, second)
    if out is not None:
        write_comparison(out, comparison, (first, second), overwrite=overwrite)
    if as_json:
        print_json(comparison.model_dump(mode="json"))
        return
    click.echo(f"{'B - A, in points':<22}" + _heads(comparison.mean))
    for each in comparison.categories:
        click.echo(f"{each.category:<22}" + _cells(each.difference, signed=True))
    click.echo(f"{'mean':<22}" + _cells(comparison.mean, signed=True))
    scores = comparison.scores
    rank = "undefined" if scores.rank_correlation is None else f"{scores.rank_correlation:.6f}"
    click.echo(
        f"{scores.images} pictures in both: scores differ by {scores.most:.2g} at most and "
        f"{scores.mean:.2g} in the mean, rank correlation {rank}"
    )


def _tell(results: "Results") -> None:
    click.echo(f"{'percent':<22}{'good':>6}{'bad':>6}" + _heads(results.mean.metrics))
    for each in results.categories:
        counts = f"{each.good:>6}{each.anomalous:>6}"
        click.echo(f"{each.category:<22}{counts}" + _cells(each.metrics))
    totals = [sum(getattr(c, kind) for c in results.categories) for kind in ("good", "anomalous")]
    click.echo(f"{'mean':<22}{totals[0]:>6}{totals[1]:>6}" + _cells(results.mean.metrics))


def _heads(metrics: "BaseModel") -> str:
    return "".join(f"{name:>13}" for name in type(metrics).model_fields)


def _cells(metrics: "BaseModel", *, signed: bool = False) -> str:
    """Show shares in percent, and `-` where one is undefined."""
    sign = "+" if signed else ""
    values = (getattr(metrics, name) for name in type(metrics).model_fields)
    return "".join(f"{'-' if v is None else format(100 * v, f'{sign}.2f'):>13}" for v in values)
