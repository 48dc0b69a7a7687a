"""`vipx bench`: how fast a bundle is here, whether it got slower, and what to choose."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vipx.commands.options import JSON, PATH, PRECISION, engine_options, numbers
from vipx.console import needs, print_json, progress, warn
from vipx.errors import EngineError, UsageError

if TYPE_CHECKING:
    from vipx.manifest import Precision
    from vipx.runtime.bench import BenchOptions, BenchRecord
    from vipx.runtime.engines.engine import EngineOptions


def share(ctx: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Read `5%`; a bare number could mean either, and is refused."""
    if value is None:
        return None
    digits = value.removesuffix("%")
    if digits == value or not digits.replace(".", "", 1).isdecimal():
        raise click.BadParameter("expected a share in percent, such as 5%")
    return float(digits) / 100


@click.command()
@click.argument("bundles", type=PATH, nargs=-1, required=True, metavar="BUNDLE...")
@click.option("--images", type=PATH, help="Folder of pictures that take turns [the golden images].")
@PRECISION
@engine_options
@click.option(
    "--batches", callback=numbers, default="1,2,4,8", show_default=True, help="For throughput."
)
@click.option("--seconds", type=float, default=3.0, show_default=True, help="Shortest timing.")
@click.option(
    "--iterations", type=int, default=100, show_default=True, help="Fewest runs of a timing."
)
@click.option(
    "--most-seconds", type=float, default=120.0, show_default=True, help="Longest timing, even so."
)
@click.option(
    "--noisy-above",
    callback=share,
    default="5%",
    show_default=True,
    help="CV that counts as noise.",
)
@click.option("--out", type=PATH, help="JSON file to write; of a sweep a folder, with its page.")
@click.option("--overwrite", is_flag=True, help="Replace what is at --out.")
@click.option(
    "--compare", type=PATH, help="An earlier --out; exit with 6 where this run is slower."
)
@click.option("--max-regression", callback=share, help="By how much it may be slower [5%].")
@click.option(
    "--compare-different", is_flag=True, help="Even if machine, bundle or engine differ; says how."
)
@click.option("--sweep", is_flag=True, help="All engines and precisions, of one bundle or several.")
@click.option("--dataset", help="Of a sweep: measure accuracy too, as `vipx eval` does.")
@click.option("--root", type=PATH, help="The dataset's folder.")
@click.option("--limit", type=click.IntRange(min=1), help="Most pictures of a category.")
@JSON
def bench(
    bundles: tuple[Path, ...],
    images: Path | None,
    out: Path | None,
    overwrite: bool,
    sweep: bool,
    as_json: bool,
    **choices: Any,  # noqa: ANN401 - read by one of the two halves below
) -> None:
    """Measure how fast BUNDLE is here: latency by stage, throughput, load time, memory."""
    _check_usage(bundles, sweep, choices)
    output = _Output(out, overwrite, as_json)
    with needs("cpu"):
        from vipx.images import list_images

        files = () if images is None else tuple(i.path for i in list_images([images]).images)
        options = _options(**{name: choices.pop(name) for name in _MEASURING})
    if sweep:
        _sweep(bundles, files, options, output, choices)
    else:
        _bench(bundles[0], files, options, output, choices)


_MEASURING = (
    "precision",
    "options",
    "batches",
    "seconds",
    "iterations",
    "most_seconds",
    "noisy_above",
)
_COMPARING = ("compare", "max_regression", "compare_different")
_ACCURACY = ("dataset", "root", "limit")


@dataclass(frozen=True)
class _Output:
    """Where results go; refused before minutes of measuring, not after."""

    path: Path | None
    overwrite: bool
    as_json: bool

    def __post_init__(self) -> None:
        if self.path is not None and self.path.exists() and not self.overwrite:
            raise UsageError(
                f"{self.path}: already exists; choose another name or pass --overwrite"
            )


def _check_usage(bundles: tuple[Path, ...], sweep: bool, choices: dict[str, Any]) -> None:
    def given(names: tuple[str, ...]) -> str:
        return next((f"--{n.replace('_', '-')}" for n in names if choices[n]), "")

    if sweep and (name := given(_COMPARING)):
        raise click.UsageError(f"{name} compares one bundle on one engine; leave --sweep out")
    if not sweep and (name := given(_ACCURACY)):
        raise click.UsageError(f"{name} belongs to --sweep; `vipx eval` measures accuracy alone")
    if not sweep and len(bundles) > 1:
        raise click.UsageError("expected one bundle; --sweep takes several")
    if choices["compare"] is None and (name := given(_COMPARING)):
        raise click.UsageError(f"{name} needs --compare BASELINE.json")
    if choices["dataset"] is None and (name := given(_ACCURACY)):
        raise click.UsageError(f"{name} needs --dataset")


def _options(
    *,
    precision: "Precision | None",
    options: "EngineOptions",
    batches: tuple[int, ...],
    noisy_above: float,
    **limits: Any,  # noqa: ANN401 - the fields of Limits, by name
) -> "BenchOptions":
    from vipx.runtime.bench import BenchOptions, Limits

    return BenchOptions(precision, options, batches, Limits(**limits), noisy_above)


def _bench(
    bundle: Path,
    files: tuple[Path, ...],
    options: "BenchOptions",
    output: _Output,
    choices: dict[str, Any],
) -> None:
    from vipx.benchmarking.quoted import published_latency
    from vipx.files import write_atomically
    from vipx.runtime.bench import Means, measure, read_record
    from vipx.runtime.bench.table import print_record

    baseline = None if choices["compare"] is None else read_record(choices["compare"])
    with progress("bench") as report:
        record = measure(bundle, files, options, Means(report=report))
    if output.path is not None:
        write_atomically(output.path, record.model_dump_json(indent=2).encode() + b"\n")
    if output.as_json:
        print_json(record.model_dump(mode="json"))
    else:
        print_record(record)
        click.echo(published_latency().line)
    for reason in record.noise if output.as_json else ():
        warn(f"this machine is noisy: {reason}")
    if baseline is not None:
        _compare(baseline, record, output, choices)


def _compare(
    baseline: "BenchRecord", record: "BenchRecord", output: _Output, choices: dict[str, Any]
) -> None:
    from vipx.runtime.bench import compare, gate, upgrades
    from vipx.runtime.bench.comparison import differences
    from vipx.runtime.bench.table import print_changes

    changes = compare(baseline, record, even_so=choices["compare_different"])
    remarks = [f"differs: {one}" for one in differences(baseline, record)]
    remarks += [f"changed: {one}" for one in upgrades(baseline, record)]
    if output.as_json:
        for remark in remarks:
            warn(remark)
    else:
        print_changes(changes, remarks)
    most = 0.05 if choices["max_regression"] is None else choices["max_regression"]
    gate(changes, most, (*baseline.noise, *record.noise))


def _sweep(
    bundles: tuple[Path, ...],
    files: tuple[Path, ...],
    options: "BenchOptions",
    output: _Output,
    choices: dict[str, Any],
) -> None:
    with needs("eval" if choices["dataset"] else "cpu"):
        from vipx.benchmarking.child import DataRequest
        from vipx.benchmarking.sweep import SweepOptions, sweep
        from vipx.benchmarking.writing import checked_data, print_sweep, write_sweep

        root = None if choices["root"] is None else str(choices["root"])
        data = choices["dataset"] and DataRequest(
            dataset=choices["dataset"], root=root, limit=choices["limit"]
        )
        checked_data(data)
    with progress("sweep") as report:
        record = sweep(bundles, SweepOptions(options, files, data), report)
    if output.path is not None:
        write_sweep(output.path, record, overwrite=output.overwrite)
    if output.as_json:
        print_json(record.model_dump(mode="json"))
    else:
        print_sweep(record)
    if not any(one.bench for one in record.outcomes):
        raise EngineError("nothing could be measured; the reasons stand above and in `vipx doctor`")
