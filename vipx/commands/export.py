"""`vipx export`: a checkpoint becomes a bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vipx.commands.options import JSON, PATH, numbers, precisions, size
from vipx.console import needs, print_json, progress

if TYPE_CHECKING:
    from vipx.manifest import Precision
    from vipx.training.model.backbone import Activation


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
@click.option("--goldens", type=PATH, help="Images for the parity gate; drawn parts by default.")
@click.option("--overwrite", is_flag=True, help="Replace a bundle at the output.")
@JSON
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
