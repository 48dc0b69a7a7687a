"""The command line: each command parses, calls one function and prints."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vipx import __version__
from vipx.console import VipxGroup, needs, print_demo, print_json, print_tree, progress, warn

if TYPE_CHECKING:
    from vipx.manifest import Precision
    from vipx.runtime.engines.engine import Device
    from vipx.runtime.prediction import MapFormat, Row
    from vipx.training.model.backbone import Activation

# Heavy imports stand inside the commands: `vipx --help` must answer at once.

_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print data as JSON, one object a line."
)
_PATH = click.Path(path_type=Path)
_PRECISION = click.Choice(["fp32", "fp16"])


@click.group(cls=VipxGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vipx")
def main() -> None:
    """Visual inspection without defect images: train, export, calibrate, inspect.

    Data goes to stdout, progress and errors to stderr. Exit codes: 0 ok, 1 unexpected, 2 usage, 3 input,
    4 checkpoint or bundle, 5 engine, 6 a gate failed, 7 resources, 10 NG found (predict --fail-on-ng).
    """


def _size(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Read `518` or `480x640` (height x width)."""
    if value is None:
        return None
    parts = value.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise click.BadParameter("expected N or HEIGHTxWIDTH in pixels, such as 518 or 480x640")
    return int(parts[0]), int(parts[-1])


def _numbers(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Read `6,12,18,24`."""
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise click.BadParameter("expected numbers with commas, such as 6,12,18,24")
    return tuple(int(part) for part in parts)


def _precisions(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Read `fp32,fp16`."""
    parts = tuple(part.strip() for part in value.split(","))
    if not set(parts) <= {"fp32", "fp16"} or len(set(parts)) != len(parts):
        raise click.BadParameter("expected fp32, fp16 or both with a comma, the default first")
    return parts


@main.command()
@click.argument("checkpoint", type=_PATH)
@click.option(
    "-o", "--output", type=_PATH, required=True, help="Folder to write, by custom NAME.vipx."
)
@click.option(
    "--backbone-weights", type=_PATH, help="CLIP weights: JIT archive, state dict or safetensors."
)
@click.option("--backbone", help="open_clip model name, such as ViT-L-14-336-quickgelu.")
@click.option(
    "--pretrained", help="open_clip weights of --backbone; `random` to measure speed alone."
)
@click.option(
    "--image-size", callback=_size, help="Input size, N or HEIGHTxWIDTH [published: 518]."
)
@click.option("--feature-layers", callback=_numbers, help="Blocks from 1 [published: 6,12,18,24].")
@click.option(
    "--top-k", type=click.IntRange(min=1), help="Patches a layer in the score [published: 50]."
)
@click.option(
    "--sigma", type=click.FloatRange(min=0), help="Smoothing of the map in px [published: 8]."
)
@click.option(
    "--precision",
    callback=_precisions,
    default="fp32",
    show_default=True,
    help="fp32, fp16, or both.",
)
@click.option(
    "--activation", type=click.Choice(["quick_gelu", "gelu"]), help="Override the backbone's."
)
@click.option(
    "--pos-embed-resample",
    type=click.Choice(["bilinear", "bicubic", "bicubic-antialias"]),
    help="How positions are stretched to the input [published: bilinear].",
)
@click.option(
    "--cls-ln-post/--no-cls-ln-post",
    default=None,
    help="ln_post on the class token [published: no].",
)
@click.option("--goldens", type=_PATH, help="Images for the parity gate; drawn parts by default.")
@click.option("--overwrite", is_flag=True, help="Replace a bundle at the output.")
@_JSON
def export(
    checkpoint: Path,
    output: Path,
    backbone_weights: Path | None,
    backbone: str | None,
    pretrained: str | None,
    precision: tuple["Precision", ...],
    activation: "Activation | None",
    goldens: Path | None,
    overwrite: bool,
    as_json: bool,
    **overrides: Any,  # noqa: ANN401 - the fields of Overrides, by name
) -> None:
    """Turn CHECKPOINT (a vipx folder or a published .pth) into a bundle of ONNX graphs."""
    with needs("export"):
        from vipx import export as stage
        from vipx.golden_images import golden_images

    options = stage.ExportOptions(precision, overwrite)
    with progress("export") as report:
        report("checkpoint and backbone")
        choice = stage.BackboneChoice(backbone_weights, backbone, pretrained, activation)
        detector = stage.load_detector(checkpoint, choice, stage.Overrides(**overrides))
        vision = detector.backbone.vision.options
        images = golden_images(goldens, height=vision.height, width=vision.width)
        manifest = stage.bundle_from_detector(
            detector, output, goldens=images, options=options, report=report
        )
    if as_json:
        print_json({"bundle": str(output)} | manifest.model_dump(mode="json"))
        return
    worst = max(d.measured / d.bound for p in manifest.parity for d in p.differences)
    size = sum(record.size for record in manifest.files.values())
    click.echo(f"{output}: {size / 1e6:.1f} MB, parity within {worst:.0%} of its bounds")


@main.command()
@click.argument("bundle", type=_PATH)
@click.argument("images", type=_PATH, nargs=-1, required=True)
@click.option(
    "--threshold", type=float, help="Scores from here on are NG; without it all are REVIEW."
)
@click.option("--maps", type=_PATH, help="Folder for heat maps.")
@click.option(
    "--map-format",
    type=click.Choice(["npy", "png", "both"]),
    default="npy",
    show_default=True,
    help="float32 at the model's size, an overlay at the image's, or both.",
)
@click.option("--precision", type=_PRECISION, help="Which encoder [the bundle's first].")
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where the graphs run; one that is not there is an error.",
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads within an operator.")
@click.option("--fail-on-ng", is_flag=True, help="Exit with 10 if any part is NG.")
@_JSON
def predict(
    bundle: Path,
    images: tuple[Path, ...],
    threshold: float | None,
    maps: Path | None,
    map_format: "MapFormat",
    precision: "Precision | None",
    device: "Device",
    threads: int | None,
    fail_on_ng: bool,
    as_json: bool,
) -> None:
    """Inspect IMAGES (files or folders) with BUNDLE: score, verdict and heat map of each."""
    with needs("cpu"):
        from vipx.images import list_images
        from vipx.runtime.engines.engine import EngineOptions
        from vipx.runtime.inspector import Inspector
        from vipx.runtime.prediction import MapWriter, inspect_images

    listing = list_images(images)
    if listing.passed_over:
        warn(f"{listing.passed_over} files that are no images were passed over")
    writer = MapWriter(maps, map_format) if maps else None
    options = EngineOptions(device, threads)
    with Inspector.open(
        bundle, precision=precision, threshold=threshold, options=options
    ) as inspector:
        if threshold is None:
            warn("no threshold was given: every verdict is REVIEW")
        rows = [_tell(row, as_json) for row in inspect_images(inspector, listing, writer)]
    failures = {row.failure for row in rows if row.failure}
    if failures:
        raise SystemExit(3 if "input" in failures else 5)
    if fail_on_ng and any(row.verdict == "NG" for row in rows):
        raise SystemExit(10)


def _tell(row: "Row", as_json: bool) -> "Row":
    if row.failure:
        warn(f"error: {row.reason}")
    if as_json:
        print_json(row.record())
    else:
        score = "-" if row.score is None else f"{row.score:.4f}"
        click.echo(f"{row.verdict:6}  {score:>6}  {row.path}")
    return row


@main.command()
@click.argument("path", type=_PATH)
@_JSON
def show(path: Path, as_json: bool) -> None:
    """Verify a bundle, a checkpoint or a published .pth at PATH, and say what is in it."""
    if path.is_file():
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


@main.command()
@click.option("--bundle", type=_PATH, help="Bundle to try the engines with [the demo's].")
@_JSON
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


@main.command()
@click.argument("images", type=_PATH, nargs=-1)
@click.option(
    "--parts", type=click.IntRange(1, 100), default=4, show_default=True, help="Parts of each kind."
)
@click.option(
    "-o",
    "--output",
    type=_PATH,
    default=Path("vipx-demo.html"),
    show_default=True,
    help="The page.",
)
@click.option("--save-bundle", type=_PATH, help="Leave the demo's bundle in this folder.")
@click.option("--save-images", type=_PATH, help="Leave the drawn parts and masks in this folder.")
@_JSON
def demo(
    images: tuple[Path, ...],
    parts: int,
    output: Path,
    save_bundle: Path | None,
    save_images: Path | None,
    as_json: bool,
) -> None:
    """Inspect drawn parts of kinds never seen in training, and IMAGES, with the model inside vipx."""
    with needs("cpu"):
        from vipx.demo.command import DemoRequest, run_demo

    request = DemoRequest(images, parts, output, save_bundle, save_images)
    with progress("demo") as report:
        result = run_demo(request, report)
    for failure in result.failures:
        warn(f"error: {failure}")
    if as_json:
        print_json(result.record())
    else:
        print_demo(result)
    if result.failures:
        raise SystemExit(3)
