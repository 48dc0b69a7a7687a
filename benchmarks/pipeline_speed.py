"""Times the whole way from image file to anomaly map, engine against engine and against the published code.

Every path lives in a process of its own, which gives it its own peak memory, settings and threads; the
processes answer turn by turn, so that whatever else the machine does falls on all of them. Ratios are taken
pair by pair, of neighbouring turns, and their median is quoted; wall time and CPU time are both shown.

    python -m benchmarks.pipeline_speed BUNDLE CHECKPOINT --weights clip.pt        # a bundle in fp32 and int8
"""

import json
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import click
import numpy as np

PATHS = (
    "published",
    "medium",
    "ort-fp32",
    "ov-fp32",
    "ov-bf16",
    "ort-int8",
    "ov-int8",
    "ov-int8-bf16",
)


@dataclass(frozen=True, slots=True)
class Files:
    """What is measured on."""

    bundle: str
    checkpoint: str
    weights: str
    image: str
    threads: int


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds of one answer; peak resident memory of the process until then, in bytes."""

    wall: float
    cpu: float
    peak: int


def opened(path: str, files: Files) -> Callable[[], Any]:
    """Open one path; gives what takes the image file to its score and map."""
    image = Path(files.image)
    if path in ("published", "medium"):
        import torch

        from benchmarks.published_pipeline import MatmulPrecision, open_published

        torch.set_num_threads(files.threads)
        matmul: MatmulPrecision = "medium" if path == "medium" else "highest"
        model = open_published(Path(files.checkpoint), Path(files.weights), matmul)
        return lambda: model(image)
    from vipx.manifest import Precision
    from vipx.runtime.engines.engine import EngineOptions
    from vipx.runtime.inspector import Inspector

    library, _, rest = path.partition("-")
    options = EngineOptions(
        engine="onnxruntime" if library == "ort" else "openvino",
        device="cpu",
        threads=files.threads,
        arithmetic="bf16" if rest.endswith("bf16") else "f32",
    )
    stored: Precision = "int8" if rest.startswith("int8") else "fp32"
    inspector = Inspector.open(Path(files.bundle), precision=stored, options=options)

    def run() -> tuple[float, np.ndarray]:
        result = inspector.inspect(image)
        return result.score, result.anomaly_map

    return run


def serve(path: str, files: Files, pipe: Any) -> None:  # noqa: ANN401 - multiprocessing's connection
    """Answer turns until None comes; the first answer is the map, to compare."""
    run = opened(path, files)
    pipe.send(run())
    while pipe.recv() is not None:
        cpu, wall = process_time(), perf_counter()
        run()
        spent = Turn(perf_counter() - wall, process_time() - cpu, 0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        pipe.send(Turn(spent.wall, spent.cpu, peak))


def measured(
    paths: tuple[str, ...], files: Files, rounds: int
) -> tuple[dict[str, list[Turn]], dict[str, Any]]:
    """Run all paths turn by turn; gives the turns and what each path answered."""
    from multiprocessing import get_context

    context = get_context("spawn")
    pipes, workers, answers = {}, [], {}
    for path in paths:
        pipes[path], other = context.Pipe()
        worker = context.Process(target=serve, args=(path, files, other), daemon=True)
        worker.start()
        workers.append(worker)
        answers[path] = pipes[path].recv()
        click.echo(f"{path} is open", err=True)
    turns: dict[str, list[Turn]] = {path: [] for path in paths}
    for number in range(rounds):
        for path in paths:
            pipes[path].send(number)
            turns[path].append(pipes[path].recv())
    for path in paths:
        pipes[path].send(None)
    for worker in workers:
        worker.join()
    return turns, answers


@dataclass(frozen=True, slots=True)
class Row:
    """What is told of one path; ratios are median quotients of neighbouring turns, by wall and by CPU time."""

    path: str
    wall: float
    least: float
    cpu: float
    peak_gb: float
    against_published: tuple[float, float] | None
    against_medium: tuple[float, float] | None
    map_difference: float
    map_correlation: float
    score_difference: float


def rows(turns: dict[str, list[Turn]], answers: dict[str, Any]) -> list[Row]:
    """Reduce turns to rows; what is different is taken against the first path."""
    first = answers[next(iter(answers))]
    found = []
    for path, mine in turns.items():
        score, heat = answers[path]
        found.append(
            Row(
                path=path,
                wall=median(turn.wall for turn in mine),
                least=min(turn.wall for turn in mine),
                cpu=median(turn.cpu for turn in mine),
                peak_gb=mine[-1].peak / 1e9,
                against_published=_ratio(turns.get("published"), mine),
                against_medium=_ratio(turns.get("medium"), mine),
                map_difference=float(np.abs(heat - first[1]).max()),
                map_correlation=float(np.corrcoef(heat.ravel(), first[1].ravel())[0, 1]),
                score_difference=abs(score - first[0]),
            )
        )
    return found


def _ratio(baseline: list[Turn] | None, mine: list[Turn]) -> tuple[float, float] | None:
    if baseline is None:
        return None
    pairs = list(zip(baseline, mine, strict=True))
    return median(a.wall / b.wall for a, b in pairs), median(a.cpu / b.cpu for a, b in pairs)


def told(row: Row) -> str:
    """Show a row."""
    ratios = [
        f"{r[0]:5.2f} {r[1]:5.2f}" if r else "    -     -"
        for r in (row.against_published, row.against_medium)
    ]
    return (
        f"{row.path:13} {row.wall:7.3f} {row.least:7.3f} {row.cpu:7.3f} {row.peak_gb:6.2f}   "
        f"{ratios[0]}   {ratios[1]}   {row.map_difference:.1e} {row.map_correlation:.6f} "
        f"{row.score_difference:.1e}"
    )


@click.command()
@click.argument("bundle", type=click.Path(exists=True))
@click.argument("checkpoint", type=click.Path(exists=True))
@click.option("--weights", type=click.Path(exists=True), required=True, help="The backbone's.")
@click.option("--image", type=click.Path(exists=True), help="A picture [a drawn part of 1024 px].")
@click.option("--paths", default=",".join(PATHS), show_default=True)
@click.option("--threads", default=len(os.sched_getaffinity(0)), show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(
    image: str | None,
    paths: str,
    rounds: int,
    as_json: bool,
    **given: Any,  # noqa: ANN401 - Files
) -> None:
    """Time every path in turns."""
    with tempfile.TemporaryDirectory() as folder:
        files = Files(image=image or _drawn(Path(folder)), **given)
        found = rows(*measured(tuple(paths.split(",")), files, rounds))
    if as_json:
        json.dump([asdict(row) for row in found], sys.stdout)
        return
    click.echo(
        f"{files.threads} threads, {rounds} rounds; seconds, median and least; ratios: wall, CPU"
    )
    click.echo(
        "path             wall   least     cpu  RSS GB   / published    / medium     "
        "map max  corr     score"
    )
    for row in found:
        click.echo(told(row))


def _drawn(folder: Path) -> str:
    # Not above: every path's process imports this module, and its peak memory is told.
    from PIL import Image

    from vipx.training.data.procedural import UNSEEN, draw_part

    path = folder / "part.png"
    Image.fromarray(draw_part(UNSEEN[0], 0, height=1024, width=1024).image).save(path)
    return str(path)


if __name__ == "__main__":
    main()
