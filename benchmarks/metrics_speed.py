"""Times pixel AUROC, best F1 and exact AUPRO against a loop over 200 thresholds and all regions, in one run.

    python -m benchmarks.metrics_speed
    python -m benchmarks.metrics_speed --images 20 --side 256 --json

Three child processes read the same arrays: `vipx` computes all three metrics; `loop` is the published way to
AUPRO alone (at each threshold: binary maps, regions labelled, the share found of each, false positives); `lean`
is that loop with the regions labelled once, before the clock starts. Each tells its seconds, CPU seconds and
peak memory. Exits with 6 if vipx is less than 30 times faster than `loop` or takes 2 GB.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import click
import numpy as np
from jaxtyping import Bool, Float32, Float64, Int
from numpy import ndarray
from scipy.ndimage import gaussian_filter, zoom
from skimage.measure import label, regionprops

from vipx.training.metrics import measurement

FACTOR = 30.0
MOST_BYTES = 2e9
STEPS = 200
FPR_LIMIT = 0.3

Masks = Bool[ndarray, "images height width"]
Maps = Float32[ndarray, "images height width"]
Region = Int[ndarray, "pixels 2"]


@dataclass(frozen=True, slots=True)
class Timed:
    """What one way gave and cost."""

    way: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    values: dict[str, float]


def draw(folder: Path, images: int, side: int) -> None:
    """Draw ellipses on half of the images, and smooth maps that find them as a fair model does."""
    generator = np.random.default_rng(0)
    masks = np.zeros((images, side, side), np.bool_)
    maps = np.empty(masks.shape, np.float32)
    for number in range(images):
        for _ in range(int(generator.integers(1, 4)) * (number % 2)):
            masks[number] |= _ellipse(generator, side)
        grown = gaussian_filter(masks[number].astype(np.float64), 8)
        maps[number] = 0.4 * _patches(generator, side) + 0.2 * grown
    np.save(folder / "masks.npy", masks)
    np.save(folder / "maps.npy", maps)


def _ellipse(generator: np.random.Generator, side: int) -> Bool[ndarray, "{side} {side}"]:
    rows, columns = np.mgrid[:side, :side]
    row, column = generator.integers(0, side, 2)
    height, width = generator.integers(side // 40 + 1, side // 10 + 2, 2)
    return ((rows - row) / height) ** 2 + ((columns - column) / width) ** 2 < 1


def _patches(generator: np.random.Generator, side: int) -> Float64[ndarray, "{side} {side}"]:
    """Noise as coarse as patches of 14 px, up-sampled and smoothed as a model's map is."""
    grid = side // 14 + 1
    noise = generator.gamma(2.0, 0.25, (grid, grid)).clip(0.0, 2.0)
    return gaussian_filter(zoom(noise, 14, order=1)[:side, :side], 8)


def vipx_way(masks: Masks, maps: Maps) -> Callable[[], dict[str, float]]:
    """Compute the three metrics as `vipx metrics` does."""

    def run() -> dict[str, float]:
        record = measurement(None, None, masks, maps).metrics().record("exact")
        return {name: value for name, value in record.items() if value is not None}

    return run


def loop_way(masks: Masks, maps: Maps) -> Callable[[], dict[str, float]]:
    """Compute AUPRO as the published evaluation does: everything anew at each threshold."""
    return lambda: {"aupro_official": _looped(masks, maps, None)}


def lean_way(masks: Masks, maps: Maps) -> Callable[[], dict[str, float]]:
    """Compute AUPRO by the same loop, with all regions known beforehand."""
    regions = [_regions(mask) for mask in masks]
    return lambda: {"aupro_official": _looped(masks, maps, regions)}


def _regions(mask: Bool[ndarray, "height width"]) -> list[Region]:
    numbered = label(mask, connectivity=2)  # type: ignore[no-untyped-call]
    return [region.coords for region in regionprops(numbered)]  # type: ignore[no-untyped-call]


def _looped(masks: Masks, maps: Maps, known: list[list[Region]] | None) -> float:
    low, high = float(maps.min()), float(maps.max())
    normal = ~masks
    rates, overlaps = [], []
    for threshold in np.arange(low, high, (high - low) / STEPS):
        binary = maps > threshold
        shares = []
        for number, (mask, found) in enumerate(zip(masks, binary, strict=True)):
            for region in known[number] if known is not None else _regions(mask):
                shares.append(found[region[:, 0], region[:, 1]].sum() / len(region))
        rates.append(np.logical_and(normal, binary).sum() / normal.sum())
        overlaps.append(np.mean(shares))
    rate, overlap = np.array(rates), np.array(overlaps)
    kept = rate < FPR_LIMIT
    rate, overlap = rate[kept][::-1], overlap[kept][::-1]
    rate = (rate - rate.min()) / (rate.max() - rate.min())
    return float(np.sum(np.diff(rate) * (overlap[1:] + overlap[:-1]) / 2))


WAYS = {"vipx": vipx_way, "loop": loop_way, "lean": lean_way}


def measure(way: str, folder: Path) -> Timed:
    """Time one way in this process; reading the arrays does not count, their memory does."""
    masks, maps = np.load(folder / "masks.npy"), np.load(folder / "maps.npy")
    run = WAYS[way](masks, maps)
    start, cpu = perf_counter(), process_time()
    values = run()
    seconds, cpu_seconds = perf_counter() - start, process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    return Timed(way, seconds, cpu_seconds, peak, values)


def in_child(way: str, folder: Path) -> Timed:
    """Measure one way in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.metrics_speed", "--way", way, str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Timed(**json.loads(done.stdout))


def show(timed: list[Timed]) -> None:
    """Print one line for each way, the first being vipx."""
    print(f"{'way':<6}{'seconds':>10}{'CPU s':>10}{'peak MB':>10}{'factor':>9}  values")
    for each in timed:
        factor = each.seconds / timed[0].seconds
        values = ", ".join(f"{name} {value:.6f}" for name, value in each.values.items())
        costs = f"{each.seconds:>10.2f}{each.cpu_seconds:>10.2f}{each.peak_bytes / 1e6:>10.0f}"
        print(f"{each.way:<6}{costs}{factor:>9.1f}  {values}")


@click.command()
@click.option("--images", default=100, show_default=True, help="Maps.")
@click.option("--side", default=518, show_default=True, help="Height and width of a map in px.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--way", type=(click.Choice(list(WAYS)), click.Path(path_type=Path)), hidden=True)
def main(images: int, side: int, as_json: bool, way: tuple[str, Path] | None) -> None:
    """Compare the exact metrics with the loop, and check the bounds."""
    if way is not None:
        print(json.dumps(asdict(measure(*way))))
        return
    with TemporaryDirectory() as name:
        draw(Path(name), images, side)
        timed = [in_child(each, Path(name)) for each in WAYS]
    if as_json:
        print(json.dumps([asdict(each) for each in timed], indent=2))
    else:
        show(timed)
    ours, loop, _ = timed
    if loop.seconds < FACTOR * ours.seconds or ours.peak_bytes > MOST_BYTES:
        print(f"expected {FACTOR:.0f} times and {MOST_BYTES / 1e9:.0f} GB", file=sys.stderr)
        sys.exit(6)


if __name__ == "__main__":
    main()
