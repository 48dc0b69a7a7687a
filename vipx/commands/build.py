"""`vipx build`: TensorRT engines for the GPU of this machine."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vipx.commands.options import CUDA_BACKEND, JSON, PATH, PRECISION
from vipx.console import print_json, progress, warn

if TYPE_CHECKING:
    from vipx.manifest import Precision
    from vipx.runtime.engines.engine import CudaBackend
    from vipx.runtime.engines.tensorrt.building import Built


@click.command()
@click.argument("bundle", type=PATH)
@PRECISION
@click.option(
    "--batch",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Images of one run; an engine is built for exactly this many.",
)
@click.option(
    "--workspace",
    type=click.IntRange(min=16),
    help="Most MiB for one layer's own use [2048, or a quarter of what is free].",
)
@click.option(
    "--level",
    type=click.IntRange(0, 5),
    default=3,
    show_default=True,
    help="How hard the builder tries; 5 takes several times as long.",
)
@CUDA_BACKEND
@click.option("--rebuild", is_flag=True, help="Build again what is there and good.")
@JSON
def build(
    bundle: Path,
    precision: "Precision | None",
    cuda_backend: "CudaBackend",
    rebuild: bool,
    as_json: bool,
    **settings: Any,  # noqa: ANN401 - batch, workspace and level
) -> None:
    """Build BUNDLE's TensorRT engines for this GPU, and check them on its golden images.

    Takes minutes. Engines that do not give the golden answers are not kept.
    """
    from vipx.runtime.engines.tensorrt.building import Wish, build_engines
    from vipx.runtime.engines.tensorrt.key import Settings

    wish = Wish(precision, Settings(**settings), cuda_backend, rebuild)
    with progress("building") as step:
        built = build_engines(bundle, wish, lambda text: _report(text, step))
    _warn_unfused(built)
    if as_json:
        print_json(asdict(built) | {"parity": [d.model_dump() for d in built.parity]})
    else:
        _tell(built)


def _report(text: str, step: Any) -> None:  # noqa: ANN401 - a callable of the progress bar
    """Show where the builder is; keep on the screen what a person would want to read again."""
    if "weakly" in text or "waiting" in text:
        warn(text)
    step(text)


def _warn_unfused(built: "Built") -> None:
    if built.fused_attention is not None and built.fused_attention < built.blocks:
        warn(
            f"only {built.fused_attention} of {built.blocks} attention blocks became one kernel, so this "
            "engine is slower than it could be; build with --precision fp16 or a newer TensorRT"
        )


def _tell(built: "Built") -> None:
    for plan in built.plans:
        how = f"built in {plan.seconds:.1f} s" if plan.seconds else "was there"
        click.echo(f"{plan.role:8}  {plan.key}  {plan.size / 2**20:8.1f} MiB  {how}")
    environment = built.environment
    click.echo(
        f"TensorRT {environment.tensorrt} on {environment.gpu}, batch {built.settings.batch}, "
        f"{built.settings.typing}ly typed"
    )
    worst = max(d.measured / d.bound for d in built.parity)
    click.echo(f"golden images within {worst:.0%} of their bounds")
