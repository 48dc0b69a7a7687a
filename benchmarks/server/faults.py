"""How the pool holds: a page that floods it, and children that are killed and stopped.

    python -m benchmarks.server.faults flood [--seconds S]
    python -m benchmarks.server.faults kill|stop [--times N]

`flood`: 200 closed-loop page clients on an engine of 50 ms, beside one line client that asks at random moments.
`kill` and `stop`: the child of the demo bundle gets SIGKILL or SIGSTOP, with the server's own patience.
"""

import argparse
import asyncio
import json
import os
import random
import signal
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from time import monotonic

import numpy as np

from vipx.runtime.server.work.faults import QueueFull, TooLate, WorkError
from vipx.runtime.server.work.pool import Pool
from vipx.runtime.server.work.recipes import LoadedRecipe
from vipx.runtime.server.work.settings import WorkSettings
from vipx.runtime.server.work.task import Task
from vipx.verdict import Verdict

DEMO = Path("vipx/demo/bundle.vipx")
SLOW = "tests.runtime.server.work.fake:open_slow"
PART = LoadedRecipe("part", threshold=0.99)
PICTURE = np.full((160, 160, 3), 9, np.uint8)
CLIENTS = 200


@dataclass(slots=True)
class Flood:
    """What 200 clients and the line saw."""

    asked: int = 0
    answered: int = 0
    refused: int = 0
    late: int = 0
    longest_queue: int = 0
    refusal_ms: list[float] = field(default_factory=list)
    line_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def main() -> None:
    """Run one of the three and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=["flood", "kill", "stop"])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    if given.what == "flood":
        print(json.dumps(asyncio.run(flood(given.seconds))))
    else:
        number = signal.SIGKILL if given.what == "kill" else signal.SIGSTOP
        print(json.dumps(asyncio.run(attack(number, given.times))))


async def flood(seconds: float) -> dict[str, object]:
    """Count answers and refusals, and time the line."""
    pool = Pool(WorkSettings(DEMO, (PART,), engine_hook=SLOW))
    await pool.start()
    seen, end = Flood(), monotonic() + seconds
    run_ms = await engine_ms(pool)
    pages = [asyncio.create_task(page(pool, seen, end)) for _ in range(CLIENTS)]
    await asyncio.gather(line(pool, seen, end), watch(pool, seen, end), *pages)
    await pool.close()
    refusals, lines = sorted(seen.refusal_ms), quantiles(seen.line_ms, n=100)
    return {
        "asked": seen.asked,
        "answered": seen.answered,
        "refused": seen.refused,
        "late": seen.late,
        "failures": seen.failures[:5],
        "longest queue": seen.longest_queue,
        "refusal p99 ms": round(refusals[int(0.99 * len(refusals))], 2),
        "engine ms": round(run_ms, 1),
        "line's images": len(seen.line_ms),
        "line p50, p99 ms": [round(lines[49], 1), round(lines[98], 1)],
        "line p99 in engine times": round(lines[98] / run_ms, 2),
    }


async def engine_ms(pool: Pool) -> float:
    """Measure what one image takes, alone."""
    spans = []
    for _ in range(20):
        start = monotonic()
        await pool.inspect(Task("part", PICTURE))
        spans.append(1000 * (monotonic() - start))
    return median(spans)


async def page(pool: Pool, seen: Flood, end: float) -> None:
    """Ask again as soon as an answer or a refusal comes; a refused client waits 100 ms."""
    while monotonic() < end:
        seen.asked += 1
        start = monotonic()
        try:
            outcome = await pool.inspect(Task("part", PICTURE, "page", deadline_s=2.0))
            assert outcome.verdict is Verdict.OK
            seen.answered += 1
        except QueueFull:
            seen.refused += 1
            seen.refusal_ms.append(1000 * (monotonic() - start))
            await asyncio.sleep(0.1)
        except TooLate:
            seen.late += 1
        except Exception as error:
            seen.failures.append(repr(error))


async def line(pool: Pool, seen: Flood, end: float) -> None:
    """Ask at moments that know nothing of the engine's."""
    draw = random.Random(0)
    while monotonic() < end:
        start = monotonic()
        await pool.inspect(Task("part", PICTURE))
        seen.line_ms.append(1000 * (monotonic() - start))
        await asyncio.sleep(draw.uniform(0.05, 0.15))


async def watch(pool: Pool, seen: Flood, end: float) -> None:
    """Look at the queue all the time."""
    while monotonic() < end:
        seen.longest_queue = max(seen.longest_queue, pool.state.queued)
        await asyncio.sleep(0.001)


async def attack(number: int, times: int) -> dict[str, object]:
    """Signal the child amid work, again and again; count every OK between the signal and the next child."""
    pool = Pool(WorkSettings(DEMO, (PART,)))
    await pool.start()
    spans, wrong = [], 0
    settle = WorkSettings(DEMO, (PART,)).patience.settle_s
    for _ in range(times):
        began = monotonic()
        while monotonic() - began < settle + 0.5:
            await pool.inspect(Task("part", PICTURE, deadline_s=30.0))
            await asyncio.sleep(0.2)
        span, oks = await signalled(pool, number)
        spans.append(span)
        wrong += oks
    restarts = pool.state.restarts
    await pool.close()
    return {
        "times": times,
        "restarts": restarts,
        "OK in the gap": wrong,
        "recovery s, median and most": [round(median(spans), 2), round(max(spans), 2)],
    }


async def signalled(pool: Pool, number: int) -> tuple[float, int]:
    """Give the seconds until the next child answers OK, and how many OK came before it was there."""
    process = pool.state.pid
    assert process is not None
    os.kill(process, number)
    # What the child had answered already lies in the pipe and is no answer of the gap.
    await asyncio.sleep(0.05)
    start, oks = monotonic(), 0
    while pool.state.pid in (None, process):
        try:
            outcome = await pool.inspect(Task("part", PICTURE))
            oks += outcome.verdict is Verdict.OK and pool.state.pid in (None, process)
        except WorkError:
            await asyncio.sleep(0.01)
    outcome = await pool.inspect(Task("part", PICTURE, deadline_s=30.0))
    assert outcome.verdict is Verdict.OK
    return monotonic() - start + 0.05, oks


if __name__ == "__main__":
    main()
