"""Options that several commands share, and how their values are read."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print data as JSON, one object a line."
)
PATH = click.Path(path_type=Path)
PRECISION = click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    help="Which encoder [the bundle's first].",
)
CUDA_BACKEND = click.option(
    "--cuda-backend",
    type=click.Choice(["auto", "cuda-python", "pycuda"]),
    default="auto",
    show_default=True,
    help="What TensorRT reaches the GPU's memory with.",
)
_ENGINE_OPTIONS = (
    click.option(
        "--engine",
        type=click.Choice(["onnxruntime", "tensorrt", "openvino"]),
        help="What runs the graphs [the fastest of this machine, as `vipx doctor` lists them].",
    ),
    click.option(
        "--device",
        type=click.Choice(["cpu", "cuda"]),
        help="Where; a device that is not there is an error [the engine's best].",
    ),
    click.option("--threads", type=click.IntRange(min=1), help="CPU threads within an operator."),
    click.option(
        "--arithmetic",
        type=click.Choice(["f32", "bf16"]),
        default="f32",
        show_default=True,
        help="Of the encoder beside its stored precision; bf16 is OpenVINO's alone.",
    ),
    CUDA_BACKEND,
    click.option(
        "--cuda-graph/--no-cuda-graph",
        default=True,
        show_default=True,
        help="Whether TensorRT's launches are captured once and replayed.",
    ),
    click.option(
        "--provider",
        type=click.Choice(["cuda", "tensorrt", "tensorrt-rtx"]),
        default="cuda",
        show_default=True,
        help="What ONNX Runtime reaches a GPU with.",
    ),
)


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose an engine; the command gets them as one `options: EngineOptions`."""

    @functools.wraps(command)
    def with_options(**given: Any) -> Any:  # noqa: ANN401 - whatever the command takes and gives
        from vipx.runtime.engines.engine import EngineOptions

        names = (
            "engine",
            "device",
            "threads",
            "arithmetic",
            "cuda_backend",
            "cuda_graph",
            "provider",
        )
        options = EngineOptions(**{name: given.pop(name) for name in names})
        return command(**given, options=options)

    decorated: Callable[..., Any] = with_options
    for option in reversed(_ENGINE_OPTIONS):
        decorated = option(decorated)
    return decorated


AUPRO = click.option(
    "--aupro",
    "mode",
    type=click.Choice(["official", "exact"]),
    default="official",
    show_default=True,
    help="200 thresholds as published, or every threshold.",
)


def size(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Read `518` or `480x640` (height x width)."""
    if value is None:
        return None
    parts = value.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise click.BadParameter("expected N or HEIGHTxWIDTH in pixels, such as 518 or 480x640")
    return int(parts[0]), int(parts[-1])


def numbers(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Read `6,12,18,24`."""
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise click.BadParameter("expected numbers with commas, such as 6,12,18,24")
    return tuple(int(part) for part in parts)


def precisions(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Read `fp32,int8`."""
    parts = tuple(part.strip() for part in value.split(","))
    if not set(parts) <= {"fp32", "fp16", "int8"} or len(set(parts)) != len(parts):
        raise click.BadParameter(
            "expected some of fp32, fp16 and int8 with commas, the default first"
        )
    return parts
