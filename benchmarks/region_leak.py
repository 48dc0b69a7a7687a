"""What a defect outside the region does to the numbers inside it, on drawn parts and the demo's bundle.

    python -m benchmarks.region_leak [--parts 20]

No value of a patch outside reaches the verdict, but encoder and heads see the whole picture. Each part here has
a defect wholly in one half, and the other half is the region; the same part without it is the reference.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import click
import numpy as np

from vipx.demo import DEMO_BUNDLE
from vipx.recipe import RegionRecord
from vipx.runtime import Inspector
from vipx.runtime.engines.engine import EngineOptions
from vipx.runtime.judgement import View, view_of
from vipx.training.data.procedural import UNSEEN, Part, draw_part

SIDE, FIRST_SEED, GAP = 160, 9_000_000, 4


@dataclass(frozen=True, slots=True)
class Pair:
    """A part with a defect in the half that does not count, and the same part without it."""

    defective: Part
    good: Part
    counts: str


@click.command()
@click.option("--parts", type=int, default=20, show_default=True, help="Of each category.")
def main(parts: int) -> None:
    """Print one row for each category."""
    with Inspector.open(
        DEMO_BUNDLE, options=EngineOptions(engine="onnxruntime", threads=1)
    ) as inspector:
        views = {
            half: view_of(inspector.bundle.manifest, RegionRecord(polygons=(_half(*ends),)))
            for half, ends in {"left": (0.0, 0.5), "right": (0.5, 1.0)}.items()
        }
        for category in UNSEEN:
            rows = [
                [
                    _score(inspector, part, views[pair.counts])
                    for part in (pair.good, pair.defective)
                ]
                for pair in islice(_pairs(category), parts)
            ]
            good, defective = np.array(rows).T
            raised = int((defective > good.max()).sum())
            click.echo(
                f"| {category} | {len(rows)} | {np.median(good):.4f} | {np.median(defective):.4f} | "
                f"{(defective - good).max():+.4f} | {raised} |"
            )


def _pairs(category: str) -> Iterator[Pair]:
    seed = FIRST_SEED
    while True:
        seed += 1
        defective = draw_part(category, seed, height=SIDE, width=SIDE, defect="random")
        columns = np.flatnonzero(defective.mask.any(axis=0))
        left, right = columns.max() < SIDE // 2 - GAP, columns.min() >= SIDE // 2 + GAP
        if left or right:
            good = draw_part(category, seed, height=SIDE, width=SIDE, defect=None)
            yield Pair(defective, good, "right" if left else "left")


def _half(start: float, end: float) -> tuple[tuple[float, float], ...]:
    return ((start, 0.0), (end, 0.0), (end, 1.0), (start, 1.0))


def _score(inspector: Inspector, part: Part, view: View) -> float:
    result = inspector.inspect(part.image)
    return view.score(result.score, result.patch_map)


if __name__ == "__main__":
    main()
