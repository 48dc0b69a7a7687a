"""`vipx export`: a checkpoint becomes a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vipx.commands.options import JSON, PATH, numbers, precisions, size
from vipx.console import needs, print_json, progress

if TYPE_CHECKING:
    from vipx.manifest import Precision
    from vipx.training.model.backbone import Activation


def frames(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Read `2448x2048` (width x height, other than --image-size) as height and width."""
    if value is None:
        return None
    parts = value.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise click.BadParameter("expected WIDTHxHEIGHT in pixels, such as 2448x2048")
    return int(parts[1]), int(parts[0])


@click.command()
@click.argument("checkpoint", type=PATH)
@click.option(
    "-o", "--output", type=PATH, required=True, help="Folder to write, by custom NAME.vipx."
)
@click.option(
    "--backbone-weights", type=PATH, help="CLIP weights: JIT archive, state dict or safetensors."
)
@click.option("--backbone", help="open_clip model name, such as ViT-L-14-336-quickgelu.")
@click.option(
    "--pretrained", help="open_clip weights of --backbone; `random` to measure speed alone."
)
@click.option("--image-size", callback=size, help="Input size, N or HEIGHTxWIDTH [published: 518].")
@click.option("--feature-layers", callback=numbers, help="Blocks from 1 [published: 6,12,18,24].")
@click.option(
    "--top-k", type=click.IntRange(min=1), help="Patches a layer in the score [published: 50]."
)
@click.option(
    "--sigma", type=click.FloatRange(min=0), help="Smoothing of the map in px [published: 8]."
)
@click.option(
    "--precision",
    callback=precisions,
    default="fp32",
    show_default=True,
    help="Some of fp32, fp16 and int8, with commas; the first runs by default.",
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
@click.option(
    "--camera",
    callback=frames,
    help="WIDTHxHEIGHT of the camera, as its maker prints it: the graph resizes its frames itself.",
)
@click.option(
    "--calibration",
    type=PATH,
    help="Pictures of the product, for int8; a quarter judges the result.",
)
@click.option(
    "--ranges", type=PATH, help="Of `vipx calibrate --ranges`, or an int8 export's ranges.json."
)
@click.option("--goldens", type=PATH, help="Images for the parity gate; drawn parts by default.")
@click.option("--overwrite", is_flag=True, help="Replace a bundle at the output.")
@JSON
def export(
    checkpoint: Path,
    output: Path,
    backbone_weights: Path | None,
    backbone: str | None,
    pretrained: str | None,
    precision: "tuple[Precision, ...]",
    activation: "Activation | None",
    camera: tuple[int, int] | None,
    calibration: Path | None,
    ranges: Path | None,
    goldens: Path | None,
    overwrite: bool,
    as_json: bool,
    **overrides: Any,  # noqa: ANN401 - the fields of Overrides, by name
) -> None:
    """Turn CHECKPOINT (a vipx folder or a published .pth) into a bundle of ONNX graphs."""
    with needs("export"):
        from vipx import export as stage
        from vipx.golden_images import golden_images

    int8 = None
    if "int8" in precision or calibration or ranges:
        int8 = stage.Int8Request(calibration, ranges)
    options = stage.ExportOptions(precision, overwrite, camera, int8)
    with progress("export") as report:
        report("checkpoint and backbone")
        choice = stage.BackboneChoice(backbone_weights, backbone, pretrained, activation)
        detector = stage.load_detector(checkpoint, choice, stage.Overrides(**overrides))
        vision = detector.backbone.vision.options
        height, width = camera or (vision.height, vision.width)
        images = golden_images(goldens, height=height, width=width)
        manifest = stage.bundle_from_detector(
            detector, output, goldens=images, options=options, report=report
        )
    if as_json:
        print_json({"bundle": str(output)} | manifest.model_dump(mode="json"))
        return
    worst = max(d.measured / d.bound for p in manifest.parity for d in p.differences)
    size = sum(record.size for record in manifest.files.values())
    click.echo(f"{output}: {size / 1e6:.1f} MB, parity within {worst:.0%} of its bounds")
