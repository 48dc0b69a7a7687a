"""Measures what this CPU multiplies a second in each library, and what that leaves for a ViT-L at 518 px.

Four products of an image's 1370 tokens, 1024 wide to 4096 and back, twice: a block's own sizes, in one graph,
so that what goes in and comes out weighs little. The best of several turns counts: a bound, not a mean. From it
two floors for each path, everything that is no product counted as nothing: with its library's own products, and
with the fastest of any library in the same arithmetic, which is what the chip allows. No rate of N threads is
taken for less than N times that of one, so that other jobs on the machine make no floor higher.

    python -m benchmarks.cpu_peaks                                          # minutes; one thread, and all
    python -m benchmarks.cpu_peaks --measured published=8.29,ort-int8=2.35,ov-int8-bf16=1.85
"""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import click
import numpy as np
import onnxruntime
import openvino
import torch

from benchmarks.product_chains import Shape, float_graph, integer_graph, standard_graph

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16")
KINDS = (
    "torch f32 highest",
    "torch f32 medium",
    "ort f32",
    "ort int8",
    "ov f32",
    "ov bf16",
    "ov int8",
)
Run = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Chip:
    """The processor, as Linux tells it; `present` are those of `FLAGS` that it has."""

    name: str
    family: int
    model: int
    present: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """Billions of operations of one image, two for each multiplication with its addition."""

    linears: float
    attention: float
    rest: float


# ViT-L/14 at 518 px: 24 blocks on 1370 tokens. The rest is the patch embedding, the projection of four levels
# and the tail, for which the published code computes 39.7 and the folded graphs 1.7 (shared notes, perf.md B1).
_LINEARS = 24 * 2 * 1370 * 12 * 1024**2 / 1e9
_ATTENTION = 24 * 4 * 1370**2 * 1024 / 1e9
PUBLISHED = Work(_LINEARS, _ATTENTION, 1.65 + 8.6 + 39.7)
FOLDED = Work(_LINEARS, _ATTENTION, 1.65 + 8.6 + 1.7)


@dataclass(frozen=True, slots=True)
class Way:
    """Which of `KINDS` computes what."""

    work: Work
    linears: str
    attention: str
    rest: str


PATHS: Mapping[str, Way] = {
    "published": Way(PUBLISHED, "torch f32 highest", "torch f32 highest", "torch f32 highest"),
    "medium": Way(PUBLISHED, "torch f32 medium", "torch f32 medium", "torch f32 medium"),
    "ort-fp32": Way(FOLDED, "ort f32", "ort f32", "ort f32"),
    "ov-fp32": Way(FOLDED, "ov f32", "ov f32", "ov f32"),
    "ort-int8": Way(FOLDED, "ort int8", "ort f32", "ort f32"),
    "ov-bf16": Way(FOLDED, "ov bf16", "ov bf16", "ov f32"),
    "ov-int8": Way(FOLDED, "ov int8", "ov f32", "ov f32"),
    "ov-int8-bf16": Way(FOLDED, "ov int8", "ov bf16", "ov f32"),
}


def torch_run(shape: Shape, threads: int, precision: str) -> Run:
    """Open the chain in PyTorch."""
    layers = [torch.from_numpy(np.ascontiguousarray(weights.T)) for weights in shape.weights()]
    values = torch.from_numpy(shape.values())

    def run() -> object:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        last = values
        for weights in layers:
            last = torch.nn.functional.linear(last, weights)
        return last

    return run


def onnxruntime_run(graph: Path, values: np.ndarray, threads: int) -> Run:
    """Open a chain in ONNX Runtime."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": values})


def openvino_run(graph: Path, values: np.ndarray, threads: int, arithmetic: str) -> Run:
    """Open a chain in OpenVINO."""
    settings = {
        "INFERENCE_PRECISION_HINT": arithmetic,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
    }
    request = openvino.Core().compile_model(graph, "CPU", settings).create_infer_request()
    request.set_input_tensor(openvino.Tensor(values))
    return request.infer


def opened(folder: Path, shape: Shape, threads: int) -> dict[str, Run]:
    """Open every kind of product."""
    values = shape.values()
    unsigned = np.clip(np.rint(values * 127 / 4) + 128, 0, 255).astype(np.uint8)
    wide = float_graph(folder / "f32.onnx", shape)
    standard = standard_graph(folder / "int8.onnx", shape)
    integers = integer_graph(folder / "integers.onnx", shape)
    runs = (
        torch_run(shape, threads, "highest"),
        torch_run(shape, threads, "medium"),
        onnxruntime_run(wide, values, threads),
        onnxruntime_run(integers, unsigned, threads),
        openvino_run(wide, values, threads, "f32"),
        openvino_run(wide, values, threads, "bf16"),
        openvino_run(standard, values, threads, "bf16"),
    )
    return dict(zip(KINDS, runs, strict=True))


def peaks(runs: Mapping[str, Run], operations: float, rounds: int) -> dict[str, float]:
    """Time all in turns; gives billions of operations a second, each one's best turn."""
    best = dict.fromkeys(runs, float("inf"))
    for turn in range(rounds + 1):
        for name, run in runs.items():
            began = perf_counter()
            run()
            if turn:  # the first one allocates, and lays the weights out
                best[name] = min(best[name], perf_counter() - began)
    return {name: operations / seconds for name, seconds in best.items()}


def bounds(found: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """Give rates that the most threads cannot exceed."""
    most = max(found)
    return {name: max(rate, most * found[1][name]) for name, rate in found[most].items()}


def chips(rates: Mapping[str, float]) -> dict[str, float]:
    """Give every product the rate of the fastest in its arithmetic."""
    kinds = {name: name.split()[1] for name in rates}
    return {
        name: max(rate for other, rate in rates.items() if kinds[other] == kind)
        for name, kind in kinds.items()
    }


def floors(rates: Mapping[str, float]) -> dict[str, float]:
    """Give the seconds below which no path can be, its products at these rates and nothing else counted."""
    return {
        name: way.work.linears / rates[way.linears]
        + way.work.attention / rates[way.attention]
        + way.work.rest / rates[way.rest]
        for name, way in PATHS.items()
    }


def chip(told: str) -> Chip:
    """Read /proc/cpuinfo's first processor."""
    lines = told.split("\n\n")[0].splitlines()
    fields = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return Chip(
        name=fields.get("model name", "unknown"),
        family=int(fields.get("cpu family", 0)),
        model=int(fields.get("model", 0)),
        present=tuple(flag for flag in FLAGS if flag in flags),
    )


def pairs(ctx: click.Context, parameter: click.Parameter, value: str) -> dict[str, float]:
    """Read `ort-int8=2.35,ov-int8-bf16=1.85`."""
    parts = [part.partition("=") for part in value.split(",") if part]
    if any(name not in PATHS for name, _, _ in parts):
        raise click.BadParameter(f"expected some of {', '.join(PATHS)}, each with its seconds")
    return {name: float(seconds) for name, _, seconds in parts}


@click.command()
@click.option("--threads", default=len(os.sched_getaffinity(0)), show_default=True)
@click.option("--rounds", default=9, show_default=True)
@click.option("--shape", type=int, nargs=3, default=(1370, 1024, 4096), show_default=True)
@click.option("--measured", callback=pairs, default="", help="Seconds that pipeline_speed gave.")
@click.option("--json", "as_json", is_flag=True)
def main(
    threads: int,
    rounds: int,
    shape: tuple[int, int, int],
    measured: dict[str, float],
    as_json: bool,
) -> None:
    """Measure the products' rates with one thread and with all, and what follows from them."""
    size, found = Shape(*shape), {}
    here = chip(Path("/proc/cpuinfo").read_text())
    for count in sorted({1, threads}):
        with tempfile.TemporaryDirectory() as folder:
            found[count] = peaks(opened(Path(folder), size, count), size.operations, rounds)
    if as_json:
        click.echo(json.dumps({"chip": asdict(here), "peaks": found}))
    else:
        tell_rates(here, found)
        tell_floors(bounds(found), measured)


def tell_rates(here: Chip, found: Mapping[int, Mapping[str, float]]) -> None:
    """Print what was measured."""
    click.echo(f"{here.name}, family {here.family}, model {here.model}: {' '.join(here.present)}")
    click.echo(f"GOP/s, best turn, with {' and '.join(map(str, found))} threads")
    for name in found[1]:
        click.echo(f"{name:18}" + "".join(f"{rates[name]:9.0f}" for rates in found.values()))
    click.echo(f"load afterwards: {os.getloadavg()[0]:.1f}")


def tell_floors(rates: Mapping[str, float], measured: Mapping[str, float]) -> None:
    """Print what follows; ratios are of the baselines' own seconds, or of their floors where none are given."""
    own, least = floors(rates), floors(chips(rates))
    baselines = [measured.get(name, own[name]) for name in ("published", "medium")]
    click.echo(
        f"{'path':14}{'seconds':>9}{'floor: own':>12}{'chip':>8}{'most against published':>25}"
        f"{'against medium':>16}"
    )
    for name in PATHS:
        taken = f"{measured[name]:9.2f}" if name in measured else f"{'-':>9}"
        ratios = [seconds / least[name] for seconds in baselines]
        click.echo(
            f"{name:14}{taken}{own[name]:12.2f}{least[name]:8.2f}{ratios[0]:25.2f}{ratios[1]:16.2f}"
        )


if __name__ == "__main__":
    main()
