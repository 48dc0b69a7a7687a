"""Times an epoch with and without cached features in turns, and measures the memory of a step at full size.

Random weights cost what real ones cost, and prove nothing about accuracy. Only ratios within one run count:
another job on the machine slows both sides. With several threads it slows the many small products of a cached
step more, as they wait for one another; then take --threads 1, and the ratio of the CPU's seconds.

    python -m benchmarks.training_speed                      # ViT-B/16 at 224 px and ViT-L/14 at 336 px
    python -m benchmarks.training_speed --memory             # one step of ViT-L/14 at 518 px, batch 1
"""

import json
import resource
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time

import click
import numpy as np
import torch
from PIL import Image

from vipx.training.data.procedural import UNSEEN, draw_part
from vipx.training.features.key import feature_key
from vipx.training.features.store import FeatureStore
from vipx.training.loop.devices import place_from
from vipx.training.loop.encoding import Encoder
from vipx.training.loop.examples import epoch_order
from vipx.training.loop.preparation import Prepared, prepare
from vipx.training.loop.settings.configuration import Settings
from vipx.training.loop.settings.file import settings_from_record
from vipx.training.loop.step import Slice, Stepper, slices

SIDE = 512
"""Of the drawn images, which training decodes and resizes."""

LAYERS = {"ViT-B-16-quickgelu": [3, 6, 9, 12], "ViT-L-14-336-quickgelu": [6, 12, 18, 24]}


@dataclass(frozen=True, slots=True)
class Seconds:
    """By the wall's clock, and of all CPUs together."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Epochs without and with the cache, pair by pair; `fresh` is the first one, which fills it."""

    architecture: str
    side: int
    images: int
    threads: int
    fresh: Seconds
    uncached: list[Seconds]
    cached: list[Seconds]

    def ratio(self, clock: str) -> float:
        """Give the median over pairs, by `wall` or `cpu` seconds."""
        pairs = zip(self.uncached, self.cached, strict=True)
        return float(np.median([getattr(a, clock) / getattr(b, clock) for a, b in pairs]))


@dataclass(frozen=True, slots=True)
class Memory:
    """Peak memory of the whole process in GB, and seconds of a step without and with cached features."""

    peak_before: float
    peak: float
    uncached: list[Seconds]
    cached: list[Seconds]


def drawn_dataset(root: Path, images: int) -> Path:
    """Draw parts in MVTec's layout, every second one with a defect."""
    for number in range(images):
        bad = bool(number % 2)
        part = draw_part(
            UNSEEN[0], number, height=SIDE, width=SIDE, defect="random" if bad else None
        )
        kind = "bad" if bad else "good"
        picture = root / UNSEEN[0] / "test" / kind / f"{number:03}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(part.image).save(picture)
        if bad:
            mask = root / UNSEEN[0] / "ground_truth" / kind / f"{number:03}_mask.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(part.mask.astype(np.uint8) * 255).save(mask)
    return root


def settings_for(folder: Path, architecture: str, side: int, batch: int) -> Settings:
    """The published training on what `drawn_dataset` drew, without a cache."""
    return settings_from_record(
        {
            "data": {"dataset": "mvtec", "root": str(folder / "data")},
            "vision": {"height": side, "width": side, "feature_layers": LAYERS[architecture]},
            "backbone": {"name": architecture, "tag": "random"},
            "optimiser": {"batch": batch},
            "run": {"cache": False, "cache_folder": str(folder / "cache")},
        }
    )


class Epochs:
    """Epochs of one run, through the backbone or through the cache."""

    def __init__(self, prepared: Prepared) -> None:
        settings = prepared.settings
        key = feature_key(prepared.backbone, settings.optimiser.precision)
        store = FeatureStore(Path(settings.run.cache_folder), key, click.echo)
        run, optimiser = settings.run, settings.optimiser
        self._cached = Encoder(prepared.backbone, store, optimiser, run.workers)
        self._prepared = prepared
        self._stepper = Stepper(
            prepared.method, prepared.backbone, settings.optimiser, prepared.place
        )

    def seconds(self, epoch: int, *, cached: bool) -> Seconds:
        """Train one epoch."""
        prepared = self._prepared
        encoder = self._cached if cached else prepared.encoder
        order = epoch_order(prepared.examples.learned, epoch, prepared.settings)
        parts: Sequence[Slice] = list(slices(order, prepared.settings.optimiser, prepared.place))
        began = perf_counter(), process_time()
        for part, batch in zip(parts, encoder.batches(p.examples for p in parts), strict=True):
            self._stepper.take(part, batch)
        encoder.flush()
        return Seconds(perf_counter() - began[0], process_time() - began[1])


def measured_speed(architecture: str, side: int, images: int, rounds: int) -> Speed:
    """Fill the cache, then train epochs without and with it in turns."""
    with tempfile.TemporaryDirectory() as name, place_from("cpu") as place:
        folder = Path(name)
        drawn_dataset(folder / "data", images)
        epochs = Epochs(prepare(settings_for(folder, architecture, side, 8), place, click.echo))
        fresh = epochs.seconds(0, cached=True)
        epochs.seconds(0, cached=True)  # checksums and first touches belong to the first reading
        uncached, cached = [], []
        for epoch in range(1, rounds + 1):
            uncached.append(epochs.seconds(epoch, cached=False))
            cached.append(epochs.seconds(epoch, cached=True))
    return Speed(architecture, side, images, torch.get_num_threads(), fresh, uncached, cached)


def measured_memory(architecture: str, side: int, rounds: int) -> Memory:
    """Train steps of one image each."""
    with tempfile.TemporaryDirectory() as name, place_from("cpu") as place:
        folder = Path(name)
        drawn_dataset(folder / "data", 1)
        prepared = prepare(settings_for(folder, architecture, side, 1), place, click.echo)
        before = _peak()
        epochs = Epochs(prepared)
        uncached = [epochs.seconds(epoch, cached=False) for epoch in range(rounds)]
        peak = _peak()
        epochs.seconds(0, cached=True)
        cached = [epochs.seconds(epoch, cached=True) for epoch in range(rounds)]
    return Memory(before, peak, uncached, cached)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


@click.command()
@click.option("--memory", is_flag=True, help="Measure memory instead.")
@click.option("--architecture", type=click.Choice(list(LAYERS)), multiple=True, help="[both]")
@click.option("--side", type=int, help="Input size [224 and 336; 518 with --memory].")
@click.option("--images", default=16, show_default=True, help="Of an epoch; a batch is 8.")
@click.option("--rounds", default=3, show_default=True, help="Pairs of epochs, or steps.")
@click.option("--threads", type=int, help="Of torch [all cores].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    memory: bool,
    architecture: tuple[str, ...],
    side: int | None,
    images: int,
    rounds: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Print seconds of epochs without and with the cache, and their ratio."""
    torch.set_num_threads(threads or torch.get_num_threads())
    if memory:
        found = measured_memory("ViT-L-14-336-quickgelu", side or 518, rounds)
        click.echo(json.dumps(asdict(found)))
        return
    for name in architecture or LAYERS:
        size = side or (224 if "B-16" in name else 336)
        speed = measured_speed(name, size, images, rounds)
        if as_json:
            ratios = {clock: speed.ratio(clock) for clock in ("wall", "cpu")}
            click.echo(json.dumps(asdict(speed) | {"ratio": ratios}))
            continue
        click.echo(f"{name} at {size} px, {images} images, {speed.threads} threads:")
        click.echo(f"  the first epoch {speed.fresh.wall:.1f} s, {speed.fresh.cpu:.1f} s of CPU")
        for clock in ("wall", "cpu"):
            for plain, cached in zip(speed.uncached, speed.cached, strict=True):
                a, b = getattr(plain, clock), getattr(cached, clock)
                click.echo(
                    f"  {clock:4} {a:8.2f} s without, {b:8.2f} s with the cache: {a / b:.1f}x"
                )
            click.echo(f"  {clock:4} ratio, median of the pairs: {speed.ratio(clock):.1f}x")


if __name__ == "__main__":
    main()
