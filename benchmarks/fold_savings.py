"""What folding the prompts for a site saves on a bundle: time of an image, memory of a process, bytes on disk.

    python -m benchmarks.fold_savings BUNDLE [--images 5] [--threads 1]

Each way runs in a process of its own, so that its peak memory is its own. The images are the bundle's goldens.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import click

from vipx.calibration.collection.collect import Collector, Reading
from vipx.calibration.collection.measurement import Measurement
from vipx.calibration.prompts import folded_texts
from vipx.images import ListedImage, read_image
from vipx.recipe import ArrayRecord
from vipx.runtime import Inspector
from vipx.runtime.engines.engine import EngineOptions


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--images", type=int, default=5, show_default=True)
@click.option("--threads", type=int, default=1, show_default=True)
@click.option("--one", type=click.Path(path_type=Path), hidden=True)
def main(bundle: Path, images: int, threads: int, one: Path | None) -> None:
    """Print what each way costs, as JSON."""
    options = EngineOptions(engine="onnxruntime", device="cpu", threads=threads)
    if one is not None:
        click.echo(json.dumps(_measured(bundle, images, options, one)))
        return
    texts = Path(f"{bundle.name}.texts.json").absolute()
    record: dict[str, Any] = {"bundle": str(bundle), "images": images, "threads": threads}
    record["exact"] = _child(bundle, images, threads, Path("/dev/null"))
    texts.write_text(_folded(bundle, options).model_dump_json())
    record["folded"] = _child(bundle, images, threads, texts)
    texts.unlink()
    files = [bundle / "prompts.onnx", bundle / "prompts.onnx.data"]
    record["prompts_graph_bytes"] = sum(path.stat().st_size for path in files if path.exists())
    click.echo(json.dumps(record, indent=1))


def _child(bundle: Path, images: int, threads: int, texts: Path) -> dict[str, Any]:
    arguments = [str(bundle), f"--images={images}", f"--threads={threads}", f"--one={texts}"]
    command = [sys.executable, "-m", "benchmarks.fold_savings", *arguments]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(answer)
    return found


def _measured(bundle: Path, images: int, options: EngineOptions, texts: Path) -> dict[str, float]:
    """Open the bundle and inspect its goldens, in this process."""
    text = texts.read_text()
    folded = ArrayRecord.model_validate_json(text).array() if text else None
    start = perf_counter()
    with Inspector.open(bundle, options=options, texts=folded) as inspector:
        load = perf_counter() - start
        pictures = [read_image(bundle / name) for name in inspector.bundle.manifest.goldens.images]
        chosen = [pictures[place % len(pictures)] for place in range(images)]
        times = [inspector.inspect(picture).timings for picture in chosen]
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "load_s": load,
        "prompts_ms": median(one.stages.prompts for one in times),
        "total_ms": median(one.total for one in times),
        "resident_MiB": pages * resource.getpagesize() / 2**20,
        "peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _folded(bundle: Path, options: EngineOptions) -> ArrayRecord:
    """Fold on the first golden image alone: what that saves does not depend on the images."""
    with Inspector.open(bundle, options=options) as inspector:
        name = inspector.bundle.manifest.goldens.images[0]
        image = ListedImage(bundle / name, Path(name))
        found: tuple[Measurement, ...] = Collector.of(inspector, Reading()).collect(
            [image], lambda _: None
        )
        return ArrayRecord.of(folded_texts(inspector.bundle, found).texts)


if __name__ == "__main__":
    main()
