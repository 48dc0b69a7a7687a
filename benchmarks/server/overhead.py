"""What the child, the pipe and the queue cost: the pool beside the bare engine, in turns.

    python -m benchmarks.server.overhead [--bundle B] [--seconds S] [--threads N] [--json]

Each round measures the bare inspector, then the pool with one client, then with eight, and compares medians.
Scores are compared bit by bit.
"""

import argparse
import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from vipx.runtime.engines.engine import EngineOptions
from vipx.runtime.inspector import Inspector
from vipx.runtime.server.work.pool import Pool
from vipx.runtime.server.work.recipes import LoadedRecipe
from vipx.runtime.server.work.settings import WorkSettings
from vipx.runtime.server.work.task import Task

DEMO = Path("vipx/demo/bundle.vipx")
Images = list[UInt8[ndarray, "height width 3"]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--bundle", type=Path, default=DEMO)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--each", type=int, default=1000, help="images of each of the 8 clients")
    parser.add_argument("--json", action="store_true", dest="as_json")
    given = parser.parse_args()
    result = asyncio.run(measure(given.bundle, EngineOptions(threads=given.threads), given))
    print(
        json.dumps(result) if given.as_json else "\n".join(f"{k}: {v}" for k, v in result.items())
    )


async def measure(
    bundle: Path, options: EngineOptions, given: argparse.Namespace
) -> dict[str, float | int]:
    """Compare rates, latencies and scores."""
    pool = Pool(WorkSettings(bundle, (LoadedRecipe("part", threshold=0.999),), options))
    await pool.start()
    with Inspector.open(bundle, threshold=0.999, options=options) as inspector:
        images = frames(inspector.size)
        serial = [inspector.inspect(image).score for image in images]
        bare, alone, eight, over = [], [], [], []
        for _ in range(given.rounds):
            bare.append(
                bare_rate(lambda n: inspector.inspect(images[n % len(images)]), given.seconds)
            )
            rate, extra = await pool_rate(pool, images, 1, given.seconds)
            alone.append(rate)
            over.append(extra)
            eight.append((await pool_rate(pool, images, 8, given.seconds))[0])
    different = await differing(pool, images, serial, given.each)
    memory = pool.state.memory
    await pool.close()
    return {
        "bare images/s": round(median(bare), 1),
        "pool images/s, one client": round(median(alone), 1),
        "pool images/s, eight clients": round(median(eight), 1),
        "eight clients of bare, percent": round(100 * median(eight) / median(bare), 1),
        "one client above its own run, ms p50": round(median(over), 3),
        f"scores that differ among 8 clients x {given.each}": different,
        "child's resident MB": round(memory / 2**20, 1),
    }


def frames(size: tuple[int, int], count: int = 16) -> Images:
    """Draw seeded frames of the model's size."""
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), np.uint8) for _ in range(count)]


def bare_rate(inspect: Callable[[int], object], seconds: float) -> float:
    """Count the bare engine's images a second."""
    start, count = perf_counter(), 0
    while (spent := perf_counter() - start) < seconds:
        inspect(count)
        count += 1
    return count / spent


async def pool_rate(
    pool: Pool, images: Images, clients: int, seconds: float
) -> tuple[float, float]:
    """Count the pool's images a second in closed loops, and its median milliseconds beside the run."""
    start, counts, extra = perf_counter(), [0] * clients, []

    async def client(place: int) -> None:
        while perf_counter() - start < seconds:
            before = perf_counter()
            task = Task("part", images[counts[place] % len(images)], deadline_s=60.0)
            outcome = await pool.inspect(task)
            extra.append(1000 * (perf_counter() - before) - outcome.microseconds["infer"] / 1000)
            counts[place] += 1

    await asyncio.gather(*map(client, range(clients)))
    return sum(counts) / (perf_counter() - start), median(extra)


async def differing(pool: Pool, images: Images, serial: list[float], each: int) -> int:
    """Count the scores that are not those of the bare engine, under eight clients at once."""

    async def client(place: int) -> int:
        wrong = 0
        for number in range(each):
            which = (number * 7 + place) % len(images)
            outcome = await pool.inspect(Task("part", images[which], deadline_s=60.0))
            wrong += outcome.score != serial[which]
        return wrong

    return sum(await asyncio.gather(*map(client, range(8))))


if __name__ == "__main__":
    main()
